"""A convolution between SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND becomes the dilated convolution that it stands for.

Needs: constant blocks, pads and crops. Leaves: no such triple around a VALID convolution of stride one whose padding is
none, or what SAME adds; over a line there is a RESHAPE on either side of the convolution, which stays. Exact.
"""

from dataclasses import dataclass

import numpy as np

from edgewise_converters.tflite.graph import Graph, Operator, Tensor
from edgewise_converters.tflite.passes.graph_edit import Links, drop
from edgewise_converters.tflite.schema import Padding

_WINDOWED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D"})
_PLANE, _LINE = 4, 3
_Pair = tuple[int, int]


@dataclass(frozen=True)
class _Triple:
    """The operators, in order; a line is made a plane of height one for the convolution."""

    first: Operator
    expand: Operator | None
    inner: Operator
    squeeze: Operator | None
    last: Operator

    @property
    def data(self) -> Tensor:
        """What goes in."""
        data = self.first.inputs[0]
        assert data is not None
        return data

    def plane(self, tensor: Tensor) -> tuple[int, ...]:
        """The shape of a tensor outside, as a plane."""
        return tensor.shape if self.expand is None else (tensor.shape[0], 1, *tensor.shape[1:])

    def along(self, numbers: list[int], fill: int) -> _Pair:
        """One number for each axis of the plane."""
        return (fill, numbers[0]) if self.expand is not None else (numbers[0], numbers[1])


def apply(graph: Graph) -> bool:
    """Fuse every such triple; returns whether there was any."""
    links = Links.of(graph)
    gone: list[Operator] = []
    for first in graph.operators:
        found = _match(first, links) if first.kind == "SPACE_TO_BATCH_ND" else None
        if found is not None and _fuse(found):
            gone += [found.first, found.last]
    drop(graph, gone)
    return bool(gone)


def _match(first: Operator, links: Links) -> _Triple | None:
    chain = [first]
    while len(chain) < 5 and chain[-1].kind != "BATCH_TO_SPACE_ND":
        following = links.only_reader(chain[-1].output)
        if following is None:
            return None
        chain.append(following)
    kinds = ["CONV" if operator.kind in _WINDOWED else operator.kind for operator in chain]
    rank = len(chain[0].output.shape)
    if rank == _PLANE and kinds == ["SPACE_TO_BATCH_ND", "CONV", "BATCH_TO_SPACE_ND"]:
        return _Triple(chain[0], None, chain[1], None, chain[2])
    if rank == _LINE and kinds == ["SPACE_TO_BATCH_ND", "RESHAPE", "CONV", "RESHAPE", "BATCH_TO_SPACE_ND"]:
        triple = _Triple(chain[0], chain[1], chain[2], chain[3], chain[4])
        return triple if chain[1].output.shape == triple.plane(chain[0].output) else None
    return None


def _fuse(found: _Triple) -> bool:
    options, weights = found.inner.options, found.inner.inputs[1]
    blocks = [_constant(operator, 1) for operator in (found.first, found.last)]
    pads, crops = _constant(found.first, 2), _constant(found.last, 2)
    strided = any(options.get(key, 1) != 1 for key in ("strideH", "strideW"))
    dilated = any(options.get(key, 1) not in (0, 1) for key in ("dilationHFactor", "dilationWFactor"))
    if blocks[0] is None or blocks[0] != blocks[1] or pads is None or crops is None or any(crops[::2]):
        return False
    if weights is None or strided or dilated or options.get("padding") != Padding.VALID:
        return False
    dilations = found.along(blocks[0], 1)
    padding = _padding(found, weights.shape, dilations, found.along(pads[::2], 0))
    if padding is None:
        return False
    options |= {"padding": padding, "dilationHFactor": dilations[0], "dilationWFactor": dilations[1]}
    _rewire(found)
    return True


def _padding(found: _Triple, weights: tuple[int, ...], dilations: _Pair, before: _Pair) -> int | None:
    """VALID or SAME, whichever gives the same; None where neither does."""
    reach = [(size - 1) * dilation for size, dilation in zip(weights[1:3], dilations, strict=True)]
    shape, result = found.plane(found.data)[1:3], found.plane(found.last.output)[1:3]
    if before == (0, 0) and result == tuple(dim - far for dim, far in zip(shape, reach, strict=True)):
        return int(Padding.VALID)
    if before == tuple(far // 2 for far in reach) and result == shape:
        return int(Padding.SAME)
    return None


def _rewire(found: _Triple) -> None:
    if found.expand is None or found.squeeze is None:
        found.inner.inputs[0], found.inner.outputs = found.data, found.last.outputs
        return
    found.inner.output.shape = found.plane(found.last.output)
    found.squeeze.outputs = found.last.outputs
    found.expand.inputs[0] = found.data
    found.expand.output.shape = found.plane(found.data)
    for reshape in (found.expand, found.squeeze):
        shape = reshape.output.shape
        target = Tensor.constant(f"{reshape.output.name}/shape", np.array(shape, np.int32))
        reshape.inputs, reshape.options = [reshape.inputs[0], target], {"newShape": shape}


def _constant(operator: Operator, position: int) -> list[int] | None:
    tensor = operator.inputs[position]
    return None if tensor is None or tensor.data is None else [int(n) for n in np.reshape(tensor.data, -1)]
