"""Operators whose number of results depends on the data: a TFLite file states every shape before it runs."""

import onnx_ir as ir

from edgewise_converters.lower.lowering import Lowering, lowers

_WINDOW = "expected a constant size"
_WAY_OUT = {
    "Compress": "with a constant condition it could be converted",
    "ConstantOfShape": "expected a shape that is constant or known from the inputs' shapes",
    "Range": "expected bounds that are constants or known from the inputs' shapes",
    "NonMaxSuppression": "export the model without its last step: the app suppresses boxes on what it answers",
    "NonZero": "a mask with Where, or TopK with a fixed number, says the same in a fixed shape",
    "BlackmanWindow": _WINDOW,
    "HammingWindow": _WINDOW,
    "HannWindow": _WINDOW,
    "Unique": "count or sort in the app, on the model's output",
}


@lowers(*_WAY_OUT)
def refuse_open_shape(low: Lowering, node: ir.Node) -> None:
    """Say why, and what would work."""
    raise low.refuse(node, f"how many results it gives depends on the data; {_WAY_OUT[node.op_type]}")
