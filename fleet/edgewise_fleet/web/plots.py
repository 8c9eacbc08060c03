"""What is plotted of a device, as options of ECharts; knows neither NiceGUI nor the store."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgewise_fleet.store.base import Points
from edgewise_messages.metrics import PIPELINE_SEPARATOR, split_name

INK = "#767d87"
"""Readable on the light and on the dark card: 4.1 to 1 or better on both."""
SHORTEST_SPAN_MS = 60_000
LINE = "rgba(128,136,146,0.25)"
COLOURS = ("#12908e", "#d9822b", "#7a6ff0", "#c2417c", "#4f8a10", "#2f7fd1", "#b0752a", "#8a8f98")
OF_PIPELINES = ("model.", "drift.", "energy.")
PANE_PX, LEGEND_PX, GAP_PX = 130, 26, 34


@dataclass(frozen=True)
class Curve:
    """One line of a plot; ``flag`` shows any value but 0 as 1, ``step`` draws it in steps."""

    metric: str
    label: str
    flag: bool = False
    step: bool = False


@dataclass(frozen=True)
class Pane:
    """One grid; ``top`` fixes the axis where the unit has a natural end."""

    title: str
    unit: str
    curves: tuple[Curve, ...]
    top: float | None = None


@dataclass(frozen=True)
class Chart:
    """Panes under each other on one time axis."""

    title: str
    panes: tuple[Pane, ...]
    is_wide: bool = False
    """Over the whole width of the page."""

    @property
    def height_px(self) -> int:
        """How high it is drawn."""
        return 210 if len(self.panes) == 1 else LEGEND_PX + len(self.panes) * (PANE_PX + GAP_PX)


def _pane(title: str, unit: str, *curves: Curve, top: float | None = None) -> Pane:
    return Pane(title, unit, curves, top)


TIMELINE = Chart(
    "Timeline: latency, temperature, throttling, drift",
    (
        _pane(
            "Latency",
            "ms",
            Curve("model.latency_p50_ms", "median"),
            Curve("model.latency_p95_ms", "95th percentile"),
        ),
        _pane("Temperature", "°C", Curve("board.temperature_c", "temperature")),
        _pane(
            "Throttling",
            "1 while the firmware slows the board or its voltage is low",
            Curve("board.throttled_now", "throttled", flag=True, step=True),
            top=1,
        ),
        _pane("Drift", "statistics moved from the baseline", Curve("drift.moved", "drift", step=True)),
    ),
    is_wide=True,
)
CHARTS = (
    TIMELINE,
    Chart(
        "Throughput", (_pane("Throughput", "inferences/s", Curve("model.throughput_per_s", "throughput")),)
    ),
    Chart("Confidence", (_pane("Confidence", "0 to 1", Curve("model.confidence_mean", "mean"), top=1),)),
    Chart(
        "Energy",
        (
            _pane(
                "Energy per inference",
                "mJ",
                Curve("energy.inference_measured_mj", "measured"),
                Curve("energy.inference_estimated_mj", "estimated, not measured"),
            ),
        ),
    ),
    Chart(
        "Power",
        (
            _pane(
                "Power",
                "W",
                Curve("power.measured_w", "measured"),
                Curve("power.estimated_w", "estimated, not measured"),
            ),
        ),
    ),
    Chart(
        "Processor",
        (
            _pane(
                "Processor",
                "%",
                Curve("board.cpu_percent", "all cores"),
                Curve("board.cpu_others_percent", "of others"),
                top=100,
            ),
        ),
    ),
    Chart("Memory", (_pane("Memory", "%", Curve("board.memory_used_percent", "in use"), top=100),)),
)


def pipelines_of(metrics: Iterable[str]) -> tuple[str, ...]:
    """The pipelines that metrics name, the main one ("") first if there is one."""
    found = {split_name(name)[0] for name in metrics if split_name(name)[1].startswith(OF_PIPELINES)}
    return tuple(sorted(found)) or ("",)


def of_device(metrics: Collection[str]) -> tuple[Chart, ...]:
    """The charts of a device that tells these metrics, without curves and panes that it never told."""
    pipelines, charts = pipelines_of(metrics), []
    for chart in CHARTS:
        panes = [
            replace(pane, curves=tuple(curve for curve in pane.curves if curve.metric in metrics))
            for pane in for_pipelines(chart, pipelines).panes
        ]
        told = tuple(pane for pane in panes if pane.curves)
        if told:
            charts.append(Chart(chart.title, told, chart.is_wide))
    return tuple(charts)


def for_pipelines(chart: Chart, pipelines: Sequence[str]) -> Chart:
    """The chart with a curve for each pipeline where a metric belongs to one."""
    return replace(
        chart,
        panes=tuple(
            replace(pane, curves=tuple(one for curve in pane.curves for one in _of_each(curve, pipelines)))
            for pane in chart.panes
        ),
    )


def _of_each(curve: Curve, pipelines: Sequence[str]) -> Iterable[Curve]:
    if not curve.metric.startswith(OF_PIPELINES):
        yield curve
        return
    for pipeline in pipelines:
        if pipeline:
            metric = f"{pipeline}{PIPELINE_SEPARATOR}{curve.metric}"
            yield Curve(metric, f"{pipeline}: {curve.label}", curve.flag, curve.step)
        elif len(pipelines) > 1:
            yield Curve(curve.metric, f"main: {curve.label}", curve.flag, curve.step)
        else:
            yield curve


def metrics_of(charts: Iterable[Chart]) -> tuple[str, ...]:
    """What must be read to draw them."""
    return tuple(curve.metric for chart in charts for pane in chart.panes for curve in pane.curves)


def is_told(chart: Chart, series: Mapping[str, Points]) -> bool:
    """Whether there is anything to draw."""
    return any(series.get(metric) for metric in metrics_of((chart,)))


def chart_options(
    chart: Chart, series: Mapping[str, Points], *, since_ms: int, until_ms: int
) -> dict[str, Any]:
    """The chart with its points."""
    panes = list(enumerate(chart.panes))
    several = len(panes) > 1
    curves = [curve for pane in chart.panes for curve in pane.curves]
    # A figure that was not measured says so, also where it is the only one.
    named = len(curves) > 1 or any("measured" in curve.label for curve in curves)
    empty = not is_told(chart, series)
    return {
        "backgroundColor": "transparent",
        "animation": False,
        "color": list(COLOURS),
        "title": [_nothing(empty), *([_pane_title(index, pane) for index, pane in panes] if several else [])],
        "legend": {
            "show": named,
            "type": "scroll",
            "top": 0,
            "right": 0,
            "textStyle": {"color": INK},
            "icon": "roundRect",
        },
        "tooltip": {"trigger": "axis", "confine": True},
        "axisPointer": {"link": [{"xAxisIndex": "all"}]},
        "grid": [_grid(index, several, named) for index, _ in panes],
        "xAxis": [_time_axis(index, since_ms, until_ms, last=index == len(panes) - 1) for index, _ in panes],
        "yAxis": [_value_axis(index, pane) for index, pane in panes],
        "series": [
            _line(index, curve, series.get(curve.metric, ()))
            for index, pane in panes
            for curve in pane.curves
        ],
    }


def _nothing(shown: bool) -> dict[str, Any]:
    style = {"color": INK, "fontSize": 13, "fontWeight": "normal"}
    said = "nothing reported in this time"
    return {"show": shown, "text": said, "left": "center", "top": "middle", "textStyle": style}


def _pane_title(index: int, pane: Pane) -> dict[str, Any]:
    top = LEGEND_PX + index * (PANE_PX + GAP_PX)
    style = {"color": INK, "fontSize": 12, "fontWeight": 600}
    return {"text": f"{pane.title}, {pane.unit}", "left": 0, "top": top, "padding": 0, "textStyle": style}


def _grid(index: int, several: bool, legend: bool) -> dict[str, Any]:
    if not several:
        return {"left": 8, "right": 16, "top": 28 if legend else 12, "bottom": 4, "containLabel": True}
    # A fixed left edge, not that of the labels: moments must stand under each other.
    return {
        "left": 52,
        "right": 16,
        "top": LEGEND_PX + 20 + index * (PANE_PX + GAP_PX),
        "height": PANE_PX - 20,
    }


def _time_axis(index: int, since_ms: int, until_ms: int, *, last: bool) -> dict[str, Any]:
    return {
        "type": "time",
        "gridIndex": index,
        "min": since_ms,
        "max": until_ms,
        "axisLabel": {"color": INK, "show": last, "hideOverlap": True},
        "axisLine": {"lineStyle": {"color": LINE}},
        "splitLine": {"show": not last, "lineStyle": {"color": LINE}},
    }


def _value_axis(index: int, pane: Pane) -> dict[str, Any]:
    whole = pane.top == 1 and all(curve.flag for curve in pane.curves)
    return {
        "type": "value",
        "gridIndex": index,
        "axisLabel": {"color": INK},
        "axisLine": {"lineStyle": {"color": LINE}},
        "min": 0 if pane.top else None,
        "max": pane.top,
        "scale": pane.top is None,
        "splitNumber": 1 if whole else 3,
        "minInterval": 1 if whole or all(curve.step for curve in pane.curves) else None,
        "splitLine": {"show": True, "lineStyle": {"color": LINE}},
    }


def _line(index: int, curve: Curve, points: Points) -> dict[str, Any]:
    return {
        "type": "line",
        "name": curve.label,
        "xAxisIndex": index,
        "yAxisIndex": index,
        "data": [[at_ms, min(1.0, value) if curve.flag else value] for at_ms, value in points],
        # A lone point has no line to be seen on.
        "showSymbol": len(points) == 1,
        "step": "end" if curve.step else False,
        "lineStyle": {"width": 2},
        **({"areaStyle": {"opacity": 0.25}} if curve.flag else {}),
    }


def axis_start(series: Mapping[str, Points], window_s: float, *, known_since_ms: int, now_ms: int) -> int:
    """Where the time axis begins: with the window, or with a device that is younger than the window."""
    begun_ms = min([known_since_ms, *(points[0][0] for points in series.values() if points)])
    return max(now_ms - int(window_s * 1000), min(begun_ms, now_ms - SHORTEST_SPAN_MS))


def describe(chart: Chart, series: Mapping[str, Points], window: str) -> str:
    """The chart in words, for those who do not see it."""
    said = []
    for pane in chart.panes:
        latest = [
            f"{curve.label} {series[curve.metric][-1][1]:.4g}"
            for curve in pane.curves
            if series.get(curve.metric)
        ]
        told = ", ".join(latest) if latest else "nothing reported"
        said.append(f"{pane.title} in {pane.unit} over the last {window}; latest: {told}")
    return ". ".join(said)
