"""The proof that a file carries: inputs, and the answers that this very file gave to them."""

from collections.abc import Iterable, Mapping

import numpy as np

from edgewise.backends import Backend
from edgewise.golden import GoldenCase
from edgewise.tensors import Array
from edgewise_converters.samples import Feed
from edgewise_converters.verify import Layouts, to_stored

MOST_CASES = 3
_SHARE_OF_NETWORK = 0.06
"""Golden cases may take this part of the network's size before compression; there is always one."""
_BLOCK = 8


def golden_cases(
    backend: Backend,
    feeds: Iterable[Feed],
    layouts: Layouts,
    *,
    image_layouts: Mapping[str, str],
    network_bytes: int,
) -> list[GoldenCase]:
    """Up to three cases as the file's runtime takes and gives them.

    Pictures are taken coarse, in blocks of 8 x 8: they reach every layer all the same and compress a
    hundredfold, so that a proof does not outweigh a small network.
    """
    cases: list[GoldenCase] = []
    size = 0
    for feed in feeds:
        coarse = {name: _coarse(array, image_layouts.get(name, "")) for name, array in feed.items()}
        inputs = to_stored(backend, coarse, layouts)
        outputs = backend.run(inputs)
        size += sum(array.nbytes for array in outputs)
        size += sum(
            a.nbytes
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
    return cases


def _coarse(array: Array, image_layout: str) -> Array:
    """Every eighth pixel, repeated; other inputs as they are."""
    if not image_layout:
        return array
    for axis in (1, 2) if image_layout == "nhwc" else (2, 3):
        picked = np.arange(array.shape[axis]) // _BLOCK * _BLOCK
        array = np.take(array, picked, axis=axis)
    return array
