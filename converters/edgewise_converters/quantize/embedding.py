"""Rows of a table that stays narrow in memory: only those that are looked up become float32."""

import numpy as np

from edgewise_converters.tflite.graph import Operator, Tensor


def looked_up(operator: Operator, table: Tensor) -> list[Operator]:
    """A GATHER of rows as EMBEDDING_LOOKUP from a quantized ``table`` [rows, columns]; none where it is no such one.

    The kernel takes indices of one axis, int32.
    """
    if operator.kind != "GATHER" or len(table.shape) != 2 or operator.options.get("axis", 0) != 0:
        return []
    indices, output = operator.inputs[1], operator.output
    if operator.options.get("batchDims") or indices is None or indices.dtype not in (np.int32, np.int64):
        return []
    count = int(np.prod(indices.shape))
    operators: list[Operator] = []
    if indices.dtype == np.int64:
        narrow = Tensor(f"{output.name}/indices/int32", indices.shape, np.dtype(np.int32))
        operators.append(Operator("CAST", [indices], [narrow], {"inDataType": 4, "outDataType": 2}))
        indices = narrow
    if len(indices.shape) != 1:
        flat = Tensor(f"{output.name}/indices", (count,), np.dtype(np.int32))
        operators.append(_reshape(indices, flat))
        indices = flat
    rows = output if len(output.shape) == 2 else output.like(f"{output.name}/rows")
    rows.shape = (count, table.shape[1])
    operators.append(Operator("EMBEDDING_LOOKUP", [indices, table], [rows]))
    if rows is not output:
        operators.append(_reshape(rows, output))
    return operators


def _reshape(source: Tensor, target: Tensor) -> Operator:
    shape = Tensor.constant(f"{target.name}/shape", np.array(target.shape, np.int32))
    return Operator("RESHAPE", [source, shape], [target], {"newShape": target.shape})
