"""The proof that a file carries: inputs, and the answers that this very file gave to them."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from edgewise.backends import Backend
from edgewise.golden import GoldenCase, kept
from edgewise.tensors import Array
from edgewise_converters.samples import Feed
from edgewise_converters.verify import Layouts, to_stored

MOST_CASES = 3
_SHARE_OF_NETWORK = 0.06
"""Golden cases may take this part of the network's size before compression; there is always one."""
_BLOCK = 8
_MOST_VALUES = 2048
"""Of one output; enough to tell a broken runtime."""
_LARGE_INPUT = 4096
"""Values."""


@dataclass(frozen=True)
class Proof:
    """Golden cases, and which values of each output they keep."""

    cases: list[GoldenCase]
    output_steps: tuple[int, ...]
    """As in the card: 1 for a whole output; () when all are whole."""


def golden_cases(
    backend: Backend,
    feeds: Iterable[Feed],
    layouts: Layouts,
    *,
    image_layouts: Mapping[str, str],
    network_bytes: int,
) -> Proof:
    """Up to three cases as the file's runtime takes and gives them.

    Pictures are taken coarse, in blocks of 8 x 8, and other large inputs in runs of 8 along their longest axis: they
    reach every layer all the same and compress well. Of a large output a sample of the values is kept. So a proof
    does not outweigh a small network.
    """
    steps = tuple(_step(spec.shape) for spec in backend.outputs())
    cases: list[GoldenCase] = []
    size = 0
    for feed in feeds:
        coarse = {name: _coarse(array, image_layouts.get(name, "")) for name, array in feed.items()}
        inputs = to_stored(backend, coarse, layouts)
        outputs = [kept(output, step) for output, step in zip(backend.run(inputs), steps, strict=True)]
        size += sum(array.nbytes for array in outputs)
        size += sum(
            a.nbytes // (1 if a.size <= _LARGE_INPUT else _BLOCK)
            for spec, a in zip(backend.inputs(), inputs, strict=True)
            if spec.name not in image_layouts
        )
        if cases and (len(cases) == MOST_CASES or size > network_bytes * _SHARE_OF_NETWORK):
            break
        cases.append(
            GoldenCase(
                {spec.name: array for spec, array in zip(backend.inputs(), inputs, strict=True)},
                {spec.name: array for spec, array in zip(backend.outputs(), outputs, strict=True)},
            )
        )
    return Proof(cases, steps if max(steps) > 1 else ())


def _step(shape: tuple[int, ...]) -> int:
    """Every how manieth value of an output to keep: no divisor in common with its channels, so that all are met."""
    step = -(-math.prod(shape) // _MOST_VALUES)
    while step > 1 and shape and math.gcd(step, shape[-1]) > 1:
        step += 1
    return max(step, 1)


def _coarse(array: Array, image_layout: str) -> Array:
    """Every eighth pixel, repeated, or every eighth value of a large other input; small ones as they are."""
    if image_layout:
        axes: tuple[int, ...] = (1, 2) if image_layout == "nhwc" else (2, 3)
    elif array.size > _LARGE_INPUT and array.dtype.kind == "f":
        axes = (int(np.argmax(array.shape)),)
    else:
        return array
    for axis in axes:
        picked = np.arange(array.shape[axis]) // _BLOCK * _BLOCK
        array = np.take(array, picked, axis=axis)
    return array
