"""The opset and IR version of what is written: old enough to be read widely, new enough for the operators in it."""

import onnx
import onnx_ir as ir
from onnx import version_converter

from edgewise_converters.errors import SourceError
from edgewise_converters.onnx_out.names import shorten

QDQ_OPSET = 13
"""From here on QuantizeLinear and DequantizeLinear have scales per channel."""
_RAISED_TO = 17
"""What an older model becomes: LayerNormalization is in, and onnxruntime 1.16 reads it."""
_IR_BY_OPSET = ((18, 8), (20, 9), (22, 10), (23, 11), (24, 12))
"""The IR version that came with each opset (onnx, docs/Versioning.md); onnxruntime 1.16 reads up to 9."""


def raise_opset(model: ir.Model) -> ir.Model:
    """The model at an opset that can hold quantized layers; the same one if it is new enough.

    Raises SourceError where ONNX's own converter cannot bring it there.
    """
    opset = model.graph.opset_imports.get("", 1)
    if opset >= QDQ_OPSET:
        return model
    try:
        raised = version_converter.convert_version(ir.to_proto(model), _RAISED_TO)
    except Exception as error:  # the converter raises RuntimeError and its own kinds
        raise SourceError(
            f"opset {opset} cannot hold a quantized layer, and ONNX's own converter fails to raise it: "
            f"{str(error).splitlines()[0][:160]}; export the model again with opset {_RAISED_TO}"
        ) from error
    return ir.serde.deserialize_model(raised)


def serialized(model: ir.Model) -> bytes:
    """The model as a file's bytes, with the IR version that its opset asks for. Raises SourceError above 2 GB."""
    opset = model.graph.opset_imports.get("", 1)
    fitting = [version for newest, version in _IR_BY_OPSET if opset <= newest]
    model.ir_version = fitting[0] if fitting else onnx.IR_VERSION
    model.producer_name, model.producer_version = "edgewise", ""
    proto = ir.to_proto(model)
    proto.ClearField("doc_string")
    proto.graph.ClearField("doc_string")
    shorten(proto.graph)
    if proto.ByteSize() >= onnx.checker.MAXIMUM_PROTOBUF:
        raise SourceError(
            f"the model takes {proto.ByteSize()} bytes, and one .onnx file holds at most 2 GB; "
            "choose a precision with fewer bits"
        )
    return bytes(proto.SerializeToString(deterministic=True))
