"""Axes counted from the end in old models become axes counted from the front.

Needs: shapes as inferred so far. Leaves: no negative axis attribute where ONNX's shape inference does not understand
it, which is before opset 11 (onnxruntime always did). Exact.
"""

import onnx_ir as ir

_UNDERSTOOD_SINCE = 11
_OPERATORS = frozenset({
    "Concat", "Slice", "Split", "Gather", "Squeeze", "Softmax", "LogSoftmax", "Hardmax", "ArgMax", "ArgMin", "TopK",
    "LpNormalization",
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
    "ReduceProd", "ReduceSum", "ReduceSumSquare",
})  # fmt: skip
"""Those whose axes are axes of their first input."""


def apply(model: ir.Model) -> bool:
    """Rewrite once; returns whether there was anything to rewrite."""
    if model.graph.opset_imports.get("", 1) >= _UNDERSTOOD_SINCE:
        return False
    changed = [
        _rewrite(node)
        for node in model.graph
        if node.op_type in _OPERATORS and node.domain in ("", "ai.onnx")
    ]
    return any(changed)


def _rewrite(node: ir.Node) -> bool:
    data = node.inputs[0]
    if data is None or data.shape is None:
        return False
    rank, changed = len(data.shape), False
    for name, attribute in list(node.attributes.items()):
        if name == "axis" and attribute.as_int() < 0:
            node.attributes[name] = ir.AttrInt64(name, attribute.as_int() + rank)
            changed = True
        elif name == "axes" and min(attribute.as_ints(), default=0) < 0:
            axes = [axis + rank if axis < 0 else axis for axis in attribute.as_ints()]
            node.attributes[name] = ir.AttrInt64s(name, axes)
            changed = True
    return changed
