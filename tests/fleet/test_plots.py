"""What is plotted, as ECharts gets it."""

from edgewise_fleet.web.plots import (
    CHARTS,
    TIMELINE,
    axis_start,
    chart_options,
    describe,
    for_pipelines,
    is_told,
    metrics_of,
    of_device,
    pipelines_of,
)
from edgewise_messages.metrics import BY_NAME

SERIES = {
    "model.latency_p50_ms": ((1000, 20.0), (2000, 21.0)),
    "board.throttled_now": ((1000, 0.0), (2000, 4.0)),
    "board.temperature_c": ((2000, 61.0),),
}


def test_every_plotted_metric_is_a_standard_one() -> None:
    assert set(metrics_of(CHARTS)) <= set(BY_NAME)


def test_the_timeline_has_latency_temperature_throttling_and_drift_on_one_axis() -> None:
    options = chart_options(TIMELINE, SERIES, since_ms=0, until_ms=3000)
    assert len(options["grid"]) == len(options["xAxis"]) == len(options["yAxis"]) == 4
    assert {(axis["min"], axis["max"]) for axis in options["xAxis"]} == {(0, 3000)}
    assert options["axisPointer"]["link"] == [{"xAxisIndex": "all"}]
    assert [axis["axisLabel"]["show"] for axis in options["xAxis"]] == [False, False, False, True]
    lefts = {grid["left"] for grid in options["grid"]}
    assert len(lefts) == 1


def test_throttling_is_drawn_as_yes_or_no_in_steps_and_a_lone_point_is_seen() -> None:
    by_name = {
        line["name"]: line for line in chart_options(TIMELINE, SERIES, since_ms=0, until_ms=3000)["series"]
    }
    assert by_name["throttled"]["data"] == [[1000, 0.0], [2000, 1.0]]
    assert by_name["throttled"]["step"] == "end"
    assert by_name["temperature"]["showSymbol"] is True
    assert by_name["median"]["showSymbol"] is False


def test_several_pipelines_are_curves_side_by_side() -> None:
    pipelines = pipelines_of(("model.latency_p50_ms", "door/model.latency_p50_ms", "board.cpu_percent"))
    assert pipelines == ("", "door")
    latency = for_pipelines(TIMELINE, pipelines).panes[0]
    assert [(one.metric, one.label) for one in latency.curves[:2]] == [
        ("model.latency_p50_ms", "main: median"),
        ("door/model.latency_p50_ms", "door: median"),
    ]
    temperature = for_pipelines(TIMELINE, pipelines).panes[1]
    assert [one.metric for one in temperature.curves] == ["board.temperature_c"]


def test_nothing_reported_is_said() -> None:
    options = chart_options(TIMELINE, {}, since_ms=0, until_ms=1)
    assert options["title"][0]["show"] is True
    assert not is_told(TIMELINE, {})
    assert chart_options(TIMELINE, SERIES, since_ms=0, until_ms=1)["title"][0]["show"] is False


def test_the_plot_is_said_in_words() -> None:
    said = describe(TIMELINE, SERIES, "1 h")
    assert "Latency in ms over the last 1 h; latest: median 21" in said
    assert "Temperature in °C over the last 1 h; latest: temperature 61" in said
    assert "latest: nothing reported" in said


def test_a_young_device_has_no_empty_left_half() -> None:
    now = 10_000_000
    assert axis_start({}, 3600, known_since_ms=now - 100_000, now_ms=now) == now - 100_000
    assert axis_start({}, 3600, known_since_ms=now - 10_000_000, now_ms=now) == now - 3_600_000
    assert axis_start({}, 3600, known_since_ms=now, now_ms=now) == now - 60_000
    replayed = {"model.latency_p50_ms": ((now - 200_000, 1.0),)}
    assert axis_start(replayed, 3600, known_since_ms=now, now_ms=now) == now - 200_000


def test_a_device_has_no_pane_and_no_curve_of_what_it_never_told() -> None:
    charts = of_device(("model.latency_p50_ms", "board.temperature_c", "energy.inference_estimated_mj"))
    assert [pane.title for pane in charts[0].panes] == ["Latency", "Temperature"]
    assert [chart.title for chart in charts[1:]] == ["Energy"]
    assert metrics_of(charts[1:]) == ("energy.inference_estimated_mj",)
    assert of_device(()) == ()


def test_energy_that_was_not_measured_says_so() -> None:
    (energy,) = of_device(("energy.inference_estimated_mj",))
    options = chart_options(energy, {"energy.inference_estimated_mj": ((1, 2.0),)}, since_ms=0, until_ms=3)
    assert options["legend"]["show"] is True
    assert options["series"][0]["name"] == "estimated, not measured"
