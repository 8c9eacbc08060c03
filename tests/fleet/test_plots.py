"""What a plot shows, without a browser."""

import pytest

from edgewise_fleet.web.plots import METRICS, PLOTS, axis_start, chart_options, describe, fill
from edgewise_messages.metrics import BY_NAME

LATENCY = PLOTS[0]
P50, P95 = (curve.metric for curve in LATENCY.curves)


def test_every_plotted_metric_is_a_standard_one() -> None:
    assert [name for name in METRICS if name not in BY_NAME] == []


def test_points_appear_and_the_empty_text_goes() -> None:
    options = chart_options(LATENCY)
    assert fill(options, LATENCY, {}, since_ms=0, until_ms=100)
    assert options["title"]["show"] is True
    assert fill(options, LATENCY, {P50: ((10, 1.0), (20, 2.0)), P95: ((10, 5.0),)}, since_ms=0, until_ms=100)
    assert options["title"]["show"] is False
    assert [line["data"] for line in options["series"]] == [[[10, 1.0], [20, 2.0]], [[10, 5.0]]]
    assert [line["showSymbol"] for line in options["series"]] == [False, True]


def test_the_same_points_are_drawn_again_only_for_another_span() -> None:
    options, series = chart_options(LATENCY), {P50: ((10, 1.0), (20, 2.0))}
    fill(options, LATENCY, series, since_ms=0, until_ms=100)
    assert not fill(options, LATENCY, series, since_ms=5, until_ms=105)
    assert fill(options, LATENCY, series, since_ms=0, until_ms=900)


@pytest.mark.parametrize(
    ("known_since_ms", "first_point_ms", "start_ms"),
    [
        (0, 9_000_000, 9_100_000),  # older than the window: the window's start
        (9_500_000, 9_500_000, 9_500_000),  # younger: where it began
        (9_900_000, 9_400_000, 9_400_000),  # it sent records from before it was first heard
        (9_999_000, 9_999_000, 9_940_000),  # never less than a minute
    ],
)
def test_the_axis_begins_with_the_window_or_the_device(
    known_since_ms: int, first_point_ms: int, start_ms: int
) -> None:
    series = {P50: ((first_point_ms, 1.0),), P95: ()}
    assert axis_start(series, 900, known_since_ms=known_since_ms, now_ms=10_000_000) == start_ms


def test_a_plot_is_told_in_words() -> None:
    said = describe(LATENCY, {P50: ((10, 1.0), (20, 23.456)), P95: ()}, "1 h")
    assert said == "Latency in ms over the last 1 h; latest: median 23.46"
    assert describe(LATENCY, {}, "1 h").endswith("latest: nothing reported")
