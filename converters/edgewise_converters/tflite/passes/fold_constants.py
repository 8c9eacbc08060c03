"""What depends on constants and shapes only is computed once, in LiteRT itself.

Needs: the shape of every tensor. Leaves: no SHAPE, no RANK, no DENSIFY, no DEQUANTIZE of a constant, and no operator
all of whose inputs are constants, but for outputs of the graph and large fills. Exact.
"""

import numpy as np

from edgewise.backends import litert
from edgewise.tensors import Array
from edgewise_converters.errors import SourceError
from edgewise_converters.tflite.graph import Graph, Operator, Tensor
from edgewise_converters.tflite.writer import serialize

_LARGEST_BYTES = 16 << 20
"""Larger results stay computed unless they are weights restored: a fill would swell the file."""
_RESTORING = frozenset({"DEQUANTIZE", "DENSIFY"})
_SHAPE_INPUTS = {
    "RESHAPE": (1,), "FILL": (0,), "BROADCAST_TO": (1,), "TILE": (1,), "PAD": (1,), "PADV2": (1,), "MIRROR_PAD": (1,),
    "RESIZE_BILINEAR": (1,), "RESIZE_NEAREST_NEIGHBOR": (1,), "TRANSPOSE": (1,), "TRANSPOSE_CONV": (0,), "SLICE": (2,),
    "RANGE": (0, 1, 2), "EXPAND_DIMS": (1,), "ONE_HOT": (1,), "SPLIT_V": (1,), "TOPK_V2": (1,),
    "SPACE_TO_BATCH_ND": (1, 2), "BATCH_TO_SPACE_ND": (1, 2), "MEAN": (1,), "SUM": (1,), "REDUCE_MAX": (1,),
    "REDUCE_MIN": (1,), "REDUCE_PROD": (1,),
}  # fmt: skip
"""Inputs that decide on the shape of the output."""


def apply(graph: Graph) -> bool:
    """Compute whatever can be; returns whether anything was."""
    before = len(graph.operators)
    leaving = {id(tensor) for tensor in graph.outputs}
    kept: list[Operator] = []
    foldable: list[Operator] = []
    known: set[int] = set()
    for operator in graph.operators:
        if _is_known(operator, known) and not any(id(t) in leaving for t in operator.outputs):
            known.update(id(tensor) for tensor in operator.outputs)
            if not _fold_at_once(operator):
                foldable.append(operator)
        else:
            kept.append(operator)
    graph.operators = kept
    needed = {id(t) for operator in kept for t in operator.inputs if t is not None}
    _compute(graph, foldable, needed)
    return len(graph.operators) != before


def check(graph: Graph) -> None:
    """Raise SourceError where a shape would still be computed from the model's inputs."""
    for operator in graph.operators:
        for position in _SHAPE_INPUTS.get(operator.kind, ()):
            tensor = operator.inputs[position] if position < len(operator.inputs) else None
            if tensor is not None and not tensor.is_constant:
                raise SourceError(
                    f"operator {operator.kind} ('{operator.output.name}'): its shape is computed from the model's "
                    "inputs, expected one known before running"
                )


def _is_known(operator: Operator, known: set[int]) -> bool:
    if operator.kind in ("SHAPE", "RANK"):
        return True
    if not operator.inputs or not operator.outputs:
        return False
    if any(t is not None and not t.is_constant and id(t) not in known for t in operator.inputs):
        return False
    size = sum(int(np.prod(t.shape, dtype=np.int64)) * t.dtype.itemsize for t in operator.outputs)
    return operator.kind in _RESTORING or size <= _LARGEST_BYTES


def _fold_at_once(operator: Operator) -> bool:
    """What needs no kernel: shapes, and weights that were stored in a smaller form."""
    source, output = operator.inputs[0], operator.outputs[0]
    assert source is not None
    if operator.kind == "SHAPE":
        output.data = np.array(source.shape, output.dtype)
    elif operator.kind == "RANK":
        output.data = np.array(len(source.shape), output.dtype)
    elif source.data is None:
        return False
    elif operator.kind == "DENSIFY":  # its constant was made dense when it was read
        output.data, output.quantization = source.data, source.quantization
    elif operator.kind == "DEQUANTIZE" and source.dtype == np.float16:
        output.data = source.data.astype(np.float32)
    elif operator.kind == "DEQUANTIZE" and source.quantization is not None and source.dtype.itemsize == 1:
        output.data = source.quantization.dequantize(np.asarray(source.data))
    else:
        return False
    output.shape = output.data.shape
    return True


def _compute(graph: Graph, operators: list[Operator], needed: set[int]) -> None:
    """Run the operators on their constants and keep what others read."""
    wanted = [t for operator in operators for t in operator.outputs if id(t) in needed]
    if not wanted:
        return
    part = Graph("constants", [], wanted, operators)
    part.remove_unused()
    backend = litert.open_model(serialize(part, description="constants", metadata={}), threads=1)
    answers: list[Array] = backend.run([])
    backend.close()
    for tensor, answer in zip(wanted, answers, strict=True):
        _settle(tensor, answer)


def _settle(tensor: Tensor, answer: Array) -> None:
    tensor.data = np.asarray(answer, order="C")
    tensor.shape = tensor.data.shape
