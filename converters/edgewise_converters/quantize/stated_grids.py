"""On which grid of integers each float tensor between a quantized source's operators is wanted."""

from dataclasses import dataclass

import numpy as np

from edgewise.tensors import Quantization
from edgewise_converters.quantize.rules import data_input
from edgewise_converters.tflite.graph import Graph, Operator, Tensor

INT8, INT16 = np.dtype(np.int8), np.dtype(np.int16)
MOVES = frozenset({
    "RESHAPE", "TRANSPOSE", "STRIDED_SLICE", "SLICE", "SPLIT", "DEPTH_TO_SPACE", "SPACE_TO_DEPTH", "GATHER", "TILE",
    "RESIZE_NEAREST_NEIGHBOR", "MAX_POOL_2D", "REDUCE_MAX", "REDUCE_MIN", "PAD", "MIRROR_PAD",
})  # fmt: skip
"""What these do to integers is what they do to real numbers, since a scale is positive."""


@dataclass(frozen=True)
class StoredGrid:
    """How a tensor's integers are stored."""

    dtype: np.dtype[np.generic]
    quantization: Quantization

    @classmethod
    def of(cls, tensor: Tensor) -> "StoredGrid | None":
        grid = tensor.quantization
        if grid is None or not grid.is_per_tensor or tensor.dtype not in (INT8, INT16):
            return None
        return cls(tensor.dtype, grid)

    def tensor(self, like: Tensor) -> Tensor:
        return Tensor(f"{like.name}/{self.dtype.name}", like.shape, self.dtype, None, self.quantization)


def wanted_grids(graph: Graph) -> dict[int, StoredGrid]:
    """By id of a float tensor: the grid that everybody who reads it rounds it to, moved or not."""
    readers, leaving = graph.consumers(), {id(tensor) for tensor in graph.outputs}
    wanted: dict[int, StoredGrid] = {}
    for operator in reversed(graph.operators):
        for tensor in operator.outputs:
            grids = [_grid_asked(reader, tensor, wanted) for reader in readers.get(id(tensor), ())]
            first = grids[0] if grids else None
            if first is not None and id(tensor) not in leaving and all(grid == first for grid in grids):
                wanted[id(tensor)] = first
    return wanted


def _grid_asked(reader: Operator, tensor: Tensor, wanted: dict[int, StoredGrid]) -> StoredGrid | None:
    if reader.kind == "QUANTIZE":
        return StoredGrid.of(reader.output)
    if reader.kind in MOVES and data_input(reader) is tensor:
        grids = [wanted.get(id(output)) for output in reader.outputs]
        return grids[0] if all(grid == grids[0] for grid in grids) else None
    return None
