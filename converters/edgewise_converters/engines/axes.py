"""Which tensor of a foreign file is which of the original's, and how its axes lie: found out by asking both.

A converter that turns axes does not say so, and shapes leave it open wherever dimensions are alike. One question
answers it: of all readings that fit the shapes the right one is where the file's answers come nearest.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgewise.backends import Backend
from edgewise.tensors import Array, TensorSpec
from edgewise_converters.errors import EngineError
from edgewise_converters.lower.layout import Layout, channels_last, identity, stored_shape

_MOST_READINGS = 64
_MOST_AXES = 5


@dataclass(frozen=True)
class Place:
    """One tensor of the original in the file."""

    index: int
    """Among the file's inputs or outputs."""
    shape: tuple[int, ...]
    """In the original."""
    layout: Layout
    """Stored axis ``j`` is the original's axis ``layout[j]``, once both have the same number of axes."""
    is_reshaped: bool = False
    """Whether the file has other axes of length one; ``layout`` is the identity then."""


@dataclass(frozen=True)
class Places:
    """By name in the original."""

    inputs: dict[str, Place]
    outputs: dict[str, Place]


def find_places(backend: Backend, feed: Mapping[str, Array], expected: Mapping[str, Array]) -> Places:
    """The reading under which the file's answers to ``feed`` come nearest to ``expected``.

    Arrays are as the original has them. Raises EngineError when nothing fits.
    """
    best: tuple[float, Places] | None = None
    for inputs in itertools.islice(_readings(backend.inputs(), feed), _MOST_READINGS):
        stored = [_stored(feed, inputs, spec, i) for i, spec in enumerate(backend.inputs())]
        answers = [np.array(answer) for answer in backend.run(stored)]
        outputs, error = _nearest_outputs(answers, expected)
        if best is None or error < best[0]:
            best = (error, Places(inputs, outputs))
    if best is None:
        shown = ", ".join(f"{spec.name} {list(spec.shape)}" for spec in backend.inputs())
        raise EngineError(f"its file takes {shown}, which does not fit the original's inputs")
    return best[1]


def _readings(specs: Sequence[TensorSpec], feed: Mapping[str, Array]) -> "itertools.chain[dict[str, Place]]":
    """Every way to assign the feed to the file's inputs: by name where names agree, else in any order that fits."""
    named = {spec.name.removeprefix("serving_default_").split(":")[0] for spec in specs}
    assignments = [tuple(feed)] if named == set(feed) else list(itertools.permutations(feed))
    position = {spec.name.removeprefix("serving_default_").split(":")[0]: i for i, spec in enumerate(specs)}

    def of(names: Sequence[str]) -> list[dict[str, Place]]:
        order = [position[name] for name in names] if named == set(feed) else range(len(names))
        choices = [
            [Place(i, feed[name].shape, *fit) for fit in _fits(feed[name].shape, specs[i].shape)]
            for name, i in zip(names, order, strict=True)
        ]
        return [dict(zip(names, places, strict=True)) for places in itertools.product(*choices)]

    if len(specs) != len(feed):
        return itertools.chain()
    return itertools.chain.from_iterable(of(names) for names in assignments)


def _fits(shape: tuple[int, ...], stored: tuple[int, ...]) -> list[tuple[Layout, bool]]:
    """Layouts in which a tensor of ``shape`` may be stored as ``stored``, the likeliest first."""
    rank = len(shape)
    if rank != len(stored):
        alike = [n for n in shape if n != 1] == [n for n in stored if n != 1]
        return [(identity(rank), True)] if alike else []
    usual = [identity(rank)]
    if rank > 2:
        last = channels_last(rank)
        usual += [last, tuple(int(axis) for axis in np.argsort(last))]
    return [
        (layout, False) for layout in dict.fromkeys(usual) if stored_shape(shape, layout) == tuple(stored)
    ]


def _stored(feed: Mapping[str, Array], places: Mapping[str, Place], spec: TensorSpec, index: int) -> Array:
    name, place = next((name, place) for name, place in places.items() if place.index == index)
    array = feed[name].reshape(spec.shape) if place.is_reshaped else feed[name].transpose(place.layout)
    return np.asarray(array, spec.dtype, order="C")


def _nearest_outputs(
    answers: Sequence[Array], expected: Mapping[str, Array]
) -> tuple[dict[str, Place], float]:
    """Where each output is, and the worst of their relative errors."""
    places, worst = {}, 0.0
    for name, want in expected.items():
        candidates = [
            (_error(got, want, place), i, place)
            for i, got in enumerate(answers)
            for place in _output_places(i, got.shape, want.shape)
        ]
        if not candidates:
            shapes = ", ".join(str(list(answer.shape)) for answer in answers)
            raise EngineError(
                f"its file answers {shapes}, none of which fits output '{name}' {list(want.shape)}"
            )
        error, _, places[name] = min(candidates, key=lambda candidate: candidate[:2])
        worst = max(worst, error)
    if len({place.index for place in places.values()}) < len(places):
        raise EngineError("two of the original's outputs are one and the same in its file")
    return places, worst


def _output_places(index: int, stored: tuple[int, ...], shape: tuple[int, ...]) -> list[Place]:
    if len(stored) == len(shape) <= _MOST_AXES:
        orders = itertools.permutations(range(len(shape)))
        return [Place(index, shape, order) for order in orders if stored_shape(shape, order) == stored]
    return [Place(index, shape, *fit) for fit in _fits(shape, stored)]


def _error(got: Array, want: Array, place: Place) -> float:
    turned = got.reshape(want.shape) if place.is_reshaped else got.transpose(np.argsort(place.layout))
    real, true = turned.astype(np.float64), want.astype(np.float64)
    difference = np.nan_to_num(real - true, nan=np.inf, posinf=np.inf, neginf=np.inf)
    difference[(real == true) | (np.isnan(real) & np.isnan(true))] = 0.0
    signal = float(np.sum(np.square(true, where=np.isfinite(true), out=np.zeros_like(true))))
    return float(np.sum(np.square(difference))) / (signal or 1.0)
