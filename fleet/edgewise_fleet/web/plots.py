"""What is plotted of a device, as options of ECharts; knows neither NiceGUI nor the store."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgewise_fleet.store.base import Points

INK = "#767d87"
"""Readable on the light and on the dark card: 4.1 to 1 or better on both."""
SHORTEST_SPAN_MS = 60_000
LINE = "rgba(128,136,146,0.25)"
COLOURS = ("#12908e", "#d9822b", "#7a6ff0")


@dataclass(frozen=True)
class Curve:
    """One line of a plot."""

    metric: str
    label: str


@dataclass(frozen=True)
class Plot:
    """One plot; `top` fixes the axis where the unit has a natural end."""

    title: str
    unit: str
    curves: tuple[Curve, ...]
    top: float | None = None


PLOTS = (
    Plot(
        "Latency",
        "ms",
        (Curve("model.latency_p50_ms", "median"), Curve("model.latency_p95_ms", "95th percentile")),
    ),
    Plot("Throughput", "inferences/s", (Curve("model.throughput_per_s", "throughput"),)),
    Plot("Temperature", "°C", (Curve("board.temperature_c", "processor"),)),
    Plot("Processor", "%", (Curve("board.cpu_percent", "all cores"),), top=100),
    Plot("Memory", "%", (Curve("board.memory_used_percent", "in use"),), top=100),
    Plot("Confidence", "0 to 1", (Curve("model.confidence_mean", "mean"),), top=1),
)

METRICS = tuple(curve.metric for plot in PLOTS for curve in plot.curves)


def chart_options(plot: Plot) -> dict[str, Any]:
    """The chart without data; `fill` puts it in."""
    axis = {
        "axisLabel": {"color": INK},
        "axisLine": {"lineStyle": {"color": LINE}},
        "splitLine": {"show": False},
    }
    several = len(plot.curves) > 1
    return {
        "backgroundColor": "transparent",
        "animation": False,
        "color": list(COLOURS),
        "title": {
            "text": "nothing reported in this time",
            "left": "center",
            "top": "middle",
            "textStyle": {"color": INK, "fontSize": 13, "fontWeight": "normal"},
        },
        "legend": {"show": several, "top": 0, "right": 0, "textStyle": {"color": INK}, "icon": "roundRect"},
        "tooltip": {"trigger": "axis", "confine": True},
        "grid": {"left": 8, "right": 16, "top": 28 if several else 12, "bottom": 4, "containLabel": True},
        "xAxis": {"type": "time", **axis},
        "yAxis": {
            "type": "value",
            **axis,
            "min": 0 if plot.top else None,
            "max": plot.top,
            "scale": plot.top is None,
            "splitLine": {"show": True, "lineStyle": {"color": LINE}},
        },
        "series": [
            {"type": "line", "name": curve.label, "data": [], "showSymbol": False, "lineStyle": {"width": 2}}
            for curve in plot.curves
        ],
    }


def axis_start(series: Mapping[str, Points], window_s: float, *, known_since_ms: int, now_ms: int) -> int:
    """Where the time axis begins: with the window, or with a device that is younger than the window."""
    begun_ms = min([known_since_ms, *(points[0][0] for points in series.values() if points)])
    return max(now_ms - int(window_s * 1000), min(begun_ms, now_ms - SHORTEST_SPAN_MS))


def fill(
    options: dict[str, Any], plot: Plot, series: Mapping[str, Points], *, since_ms: int, until_ms: int
) -> bool:
    """Put the points in; return whether the chart looks different now."""
    found = [[list(point) for point in series.get(curve.metric, ())] for curve in plot.curves]
    before = [line["data"] for line in options["series"]]
    for line, points in zip(options["series"], found, strict=True):
        line["data"] = points
        # A lone point has no line to be seen on.
        line["showSymbol"] = len(points) == 1
    empty = not any(found)
    options["title"]["show"] = empty
    axis = options["xAxis"]
    same_span = axis.get("max", 0) - axis.get("min", 0) == until_ms - since_ms
    axis["min"], axis["max"] = since_ms, until_ms
    return found != before or empty or not same_span


def describe(plot: Plot, series: Mapping[str, Points], window: str) -> str:
    """The plot in words, for those who do not see it."""
    latest = [
        f"{curve.label} {series[curve.metric][-1][1]:.4g}"
        for curve in plot.curves
        if series.get(curve.metric)
    ]
    said = ", ".join(latest) if latest else "nothing reported"
    return f"{plot.title} in {plot.unit} over the last {window}; latest: {said}"
