"""Small drawings as inline SVG: they take their colours from the page and need no script."""

import math
from collections.abc import Callable, Sequence
from html import escape

from markupsafe import Markup

from edgewise.drift_baseline import Histogram
from edgewise_converters.layer_facts import LayerFacts

_WIDTH, _HEIGHT = 340, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 30, 4, 8, 16
_MOST_DB = 80.0
_STEP_DB = 20
_CURVE_HEIGHT = 64


def css_class(precision: str) -> str:
    """The colour of a precision."""
    kinds = {"int8": "int8", "int16x8": "int16", "float32": "float", "dynamic": "dynamic"}
    return f"p-{kinds.get(precision.split(',')[0], 'stored' if 'weights' in precision else 'other')}"


def noise_plot(layers: Sequence[LayerFacts]) -> Markup:
    """Signal to noise of every layer in order, one dot each."""
    drawn = [layer for layer in layers if layer.kind]
    most = min(max([layer.snr_db for layer in drawn] + [40.0]), _MOST_DB)
    wide, tall = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def y(level_db: float) -> float:
        return _TOP + tall * (1 - min(max(level_db, 0.0), most) / most)

    def x(position: int) -> float:
        return _LEFT + wide * (position + 0.5) / max(len(drawn), 1)

    lines = "".join(
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH}" y1="{y(level):.1f}" y2="{y(level):.1f}"/>'
        f'<text class="tick" x="{_LEFT - 4}" y="{y(level) + 3:.1f}" text-anchor="end">{level}</text>'
        for level in range(0, math.floor(most) + 1, _STEP_DB)
    )
    course = " ".join(f"{x(i):.1f},{y(layer.snr_db):.1f}" for i, layer in enumerate(drawn))
    dots = "".join(
        f'<circle class="{css_class(layer.precision)}" cx="{x(i):.1f}" cy="{y(layer.snr_db):.1f}" r="2.6">'
        f"<title>{escape(layer.name)}: {layer.snr_db:.1f} dB, {layer.precision}</title></circle>"
        for i, layer in enumerate(drawn)
    )
    ends = (
        f'<text class="tick" x="{_LEFT}" y="{_HEIGHT - 3}">first layer</text>'
        f'<text class="tick" x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 3}" text-anchor="end">last layer</text>'
    )
    body = f'{lines}<polyline class="course" points="{course}"/>{dots}{ends}'
    return _svg(_WIDTH, _HEIGHT, body, "Signal to noise ratio in dB of every layer against the original")


def range_histogram(layer: LayerFacts) -> Markup:
    """Float values of a layer, counts on a logarithmic scale, with the range its integers cover."""
    low, high = layer.histogram.edges[0], layer.histogram.edges[-1]
    begin = min(low, layer.low) if layer.low is not None else low
    end = max(high, layer.high) if layer.high is not None else high
    span = (end - begin) or 1.0

    def x(value: float) -> float:
        return _WIDTH * (value - begin) / span

    marks = ""
    if layer.low is not None and layer.high is not None:
        inside = x(layer.high) - x(layer.low)
        marks = f'<rect class="range" x="{x(layer.low):.1f}" y="0" width="{inside:.1f}" height="{_CURVE_HEIGHT}"/>'
    body = marks + f'<path class="bars" d="{_bars(layer.histogram, x, logarithmic=True)}"/>'
    said = f"Values from {low:.3g} to {high:.3g}"
    if layer.low is not None and layer.high is not None:
        said += f", range chosen {layer.low:.3g} to {layer.high:.3g}"
    return _svg(_WIDTH, _CURVE_HEIGHT, body, said)


def share_histogram(histogram: Histogram) -> Markup:
    """Counts between 0 and 1."""
    body = f'<path class="bars" d="{_bars(histogram, lambda value: _WIDTH * value, logarithmic=False)}"/>'
    return _svg(_WIDTH, _CURVE_HEIGHT, body, "Counts of confidences from 0 to 1")


def _bars(histogram: Histogram, x: Callable[[float], float], *, logarithmic: bool) -> str:
    heights = [math.log1p(count) if logarithmic else float(count) for count in histogram.counts]
    most = max(heights) or 1.0
    pieces = []
    for left, right, height in zip(histogram.edges, histogram.edges[1:], heights, strict=False):
        if height:
            tall = max(1.0, _CURVE_HEIGHT * height / most)
            pieces.append(
                f"M{x(left):.1f} {_CURVE_HEIGHT}V{_CURVE_HEIGHT - tall:.1f}H{x(right):.1f}V{_CURVE_HEIGHT}z"
            )
    return "".join(pieces)


def _svg(width: int, height: int, body: str, title: str) -> Markup:
    label = escape(title, quote=True)
    return Markup(f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{label}">{body}</svg>')
