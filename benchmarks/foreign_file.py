"""How far a TFLite file is from the ONNX model it was made of, whoever made it.

A converter does not say how it orders the axes of inputs and outputs, so every order that the shapes allow is tried
on the first case and the best one kept: no file is called wrong for being laid out otherwise.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgewise.backends import Backend, open_backend
from edgewise.errors import EdgewiseError
from edgewise.tensors import Array, TensorSpec
from edgewise_converters.agreement import Agreement, Meter
from edgewise_converters.tflite.schema import operator_kinds
from edgewise_converters.verify import Case

_MOST_WAYS = 16
"""Orders of all inputs together."""
_MOST_AXES = 6
"""Outputs of more axes are only read as they are."""
Order = tuple[int, ...]


class WrongFile(RuntimeError):
    """The file does not load, does not run, or is not the model; the message says which."""


@dataclass(frozen=True)
class _Way:
    """For each input of the file, the name of the case's array and the order of its axes."""

    inputs: tuple[tuple[str, Order], ...]


def agreement_of(path: Path, cases: Sequence[Case]) -> Agreement:
    """Every output over all cases, asked one after the other in one interpreter of LiteRT. Raises WrongFile."""
    foreign = sorted({kind for kind in operator_kinds(path.read_bytes()) if kind.startswith("CUSTOM")})
    if foreign:
        raise WrongFile(f"holds {', '.join(foreign)}, which no runtime has")
    try:
        ways = list(itertools.islice(_ways(path, cases[0]), _MOST_WAYS))
        if not ways:
            raise WrongFile("an input has another size than the original's")
        best = max(ways, key=lambda way: _ask(path, way, cases[:1]).worst_db) if len(ways) > 1 else ways[0]
        return _ask(path, best, cases)
    except EdgewiseError as error:
        raise WrongFile(f"does not run in LiteRT: {str(error).splitlines()[0]}") from error


def _open(path: Path) -> Backend:
    return open_backend(path.read_bytes(), "tflite", name="litert", threads=1)


def _ways(path: Path, case: Case) -> Iterator[_Way]:
    backend = _open(path)
    choices = [list(_readings(spec, case.feed)) for spec in backend.inputs()]
    backend.close()
    for chosen in itertools.product(*choices):
        if len({name for name, _ in chosen}) == len(chosen):
            yield _Way(chosen)


def _readings(spec: TensorSpec, feed: Mapping[str, Array]) -> Iterator[tuple[str, Order]]:
    said = spec.name.removeprefix("serving_default_").split(":")[0]
    for name in [spec.name] if spec.name in feed else [said] if said in feed else list(feed):
        rank = feed[name].ndim
        usual = [tuple(range(rank))] + ([(0, *range(2, rank), 1)] if rank > 2 else [])
        for order in usual:
            if tuple(feed[name].shape[axis] for axis in order) == spec.shape:
                yield name, order


def _ask(path: Path, way: _Way, cases: Sequence[Case]) -> Agreement:
    backend, meter = _open(path), Meter()
    places: dict[str, tuple[int, Order]] = {}
    for case in cases:
        pairs = zip(backend.inputs(), way.inputs, strict=True)
        arrays = [
            np.asarray(case.feed[name].transpose(order), spec.dtype, order="C")
            for spec, (name, order) in pairs
        ]
        answers = backend.run(arrays)
        places = places or {name: _nearest(answers, want) for name, want in case.expected.items()}
        meter.add(case.expected, {name: answers[i].transpose(order) for name, (i, order) in places.items()})
    backend.close()
    return meter.result()


def _nearest(answers: Sequence[Array], want: Array) -> tuple[int, Order]:
    """Which output of the file is meant, and the order that makes it the original's: the smallest difference."""
    found = []
    for i, got in enumerate(answers):
        for order in (
            itertools.permutations(range(got.ndim)) if got.ndim <= _MOST_AXES else [tuple(range(got.ndim))]
        ):
            turned = got.transpose(order)
            if turned.shape == want.shape:
                difference = np.nan_to_num(turned.astype(np.float64) - want)
                found.append((float(np.abs(difference).sum()), i, order))
    if not found:
        raise WrongFile(
            f"its outputs are {[answer.shape for answer in answers]}, expected {want.shape} among them"
        )
    return min(found)[1:]
