"""The precision that a quantized source states itself."""

from edgewise_converters.errors import ConversionError
from edgewise_converters.lower import LoweredGraph
from edgewise_converters.quantize.stated import keep_stated
from edgewise_converters.targets import Target
from edgewise_converters.tflite.graph import Graph
from edgewise_converters.tflite.runtimes import rules_of

AS_SOURCE = "source"
"""What `--precision` calls it."""


def at_source_precision(graph: Graph, target: Target) -> Graph:
    """The graph with the integers of its source in kernels that take them, in all runtimes of the target."""
    return keep_stated(graph, rules_of(target.runtimes)).graph


def check_stated(lowered: LoweredGraph) -> None:
    """Raise ConversionError for a source that states no quantization."""
    if not lowered.keeps_quantization:
        raise ConversionError(
            "--precision source: the model has no QuantizeLinear, DequantizeLinear or other quantized operator, "
            "expected a quantized ONNX model; leave out --precision to have it quantized"
        )


def described(graph: Graph) -> str:
    """What a card calls the precision: what most of it computes in."""
    kinds = {
        None if tensor is None else tensor.dtype.name
        for operator in graph.operators
        if operator.kind not in ("QUANTIZE", "DEQUANTIZE")
        for tensor in operator.inputs
        if tensor is None or (tensor.quantization is not None and not tensor.is_constant)
    }
    static = next((name for name in ("int8", "int16") if name in kinds), "")
    weights = any(
        t is not None and t.is_constant and t.dtype.name == "int8" and t.quantization is not None
        for operator in graph.operators
        for t in operator.inputs
    )
    name = {"int8": "int8", "int16": "int16x8"}.get(static, "dynamic" if weights else "fp32")
    return f"{name} (as in the source)"
