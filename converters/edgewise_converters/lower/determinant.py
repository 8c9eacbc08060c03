"""Det of small matrices."""

import numpy as np
import onnx_ir as ir

from edgewise_converters.lower.algebra import Algebra
from edgewise_converters.lower.lowering import Lowering, lowers
from edgewise_converters.tflite.graph import Tensor

_MAX_SIZE = 4
"""The expansion has size! terms."""


@lowers("Det", in_float=True)
def lower_det(low: Lowering, node: ir.Node) -> None:
    """By Laplace's expansion along the first row."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    size = low.shape(data)[-1]
    if size > _MAX_SIZE:
        raise low.refuse(
            node, f"its matrices are {size} by {size}, expected at most {_MAX_SIZE} by {_MAX_SIZE}"
        )
    f = Algebra(low, str(result.name))
    flat = f.reshape(low.read(data), (int(np.prod(low.shape(data)[:-2])), size * size))
    entries = [[f.part(flat, 1, i * size + j, i * size + j + 1) for j in range(size)] for i in range(size)]
    low.bind(result, f.reshape(_expand(f, entries), low.shape(result)))


def _expand(f: Algebra, entries: list[list[Tensor]]) -> Tensor:
    if len(entries) == 1:
        return entries[0][0]
    total: Tensor | None = None
    for j, entry in enumerate(entries[0]):
        minor = [[value for k, value in enumerate(row) if k != j] for row in entries[1:]]
        term = f.mul(entry, _expand(f, minor))
        if total is None:
            total = term
        else:
            total = f.sub(total, term) if j % 2 else f.add(total, term)
    assert total is not None
    return total
