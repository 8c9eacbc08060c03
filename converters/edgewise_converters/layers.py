"""In which precision each operator of a graph computes."""

from collections.abc import Mapping

from edgewise.model_card import LayerPrecision
from edgewise_converters.tflite.graph import Graph, Operator, Tensor

CONVERSIONS = frozenset({"QUANTIZE", "DEQUANTIZE"})
"""Between precisions: no layers of their own."""
_MOST_NAMED = 12
_SUFFIXES = ("/int8", "/int16", "/float", "/columns", "/rescaled")


def precision_of(operator: Operator, producers: Mapping[int, Operator]) -> str:
    """Such as int8, int16x8, dynamic (int8 weights in a float operator), float16 weights, float32.

    "" for a conversion, and for what computes indices, shapes or truth values. ``producers`` are the graph's.
    """
    if operator.kind in CONVERSIONS:
        return ""
    answer = operator.outputs[0]
    if answer.quantization is not None and not answer.is_float:
        return {"int8": "int8", "int16": "int16x8"}.get(answer.dtype.name, answer.dtype.name) + _narrow(
            operator
        )
    if not answer.is_float:
        return ""
    stored = [_stored(tensor, producers) for tensor in operator.inputs if tensor is not None]
    for tensor, behind_dequantize in stored:
        if tensor is None or tensor.is_float or tensor.dtype.name == "int32":
            continue
        if tensor.dtype.name == "float16":
            return "float16 weights"
        if tensor.quantization is not None or tensor.blocks is not None:
            narrow = tensor.dtype.name == "int4"
            if behind_dequantize:
                return "4-bit weights" if narrow else "int8 weights"
            return "4-bit dynamic" if narrow else "dynamic"
    return "float32"


def _narrow(operator: Operator) -> str:
    """4-bit weights under integer activations."""
    names = {t.dtype.name for t in operator.inputs[1:] if t is not None and t.is_constant}
    return ", 4-bit weights" if "int4" in names else ""


def _stored(tensor: Tensor, producers: Mapping[int, Operator]) -> tuple[Tensor | None, bool]:
    """The constant behind an input, and whether it is restored by a DEQUANTIZE first."""
    if tensor.is_constant:
        return tensor, False
    producer = producers.get(id(tensor))
    if producer is not None and producer.kind == "DEQUANTIZE" and producer.inputs[0] is not None:
        source = producer.inputs[0]
        return (source, True) if source.is_constant else (None, False)
    return None, False


def layer_name(tensor: Tensor) -> str:
    """The name a layer had before quantization gave its output another."""
    return earlier_names(tensor.name)[-1]


def earlier_names(name: str) -> list[str]:
    """A tensor's name, and those it may have had before one rewrite after the other added to it."""
    names = [name]
    while suffix := next((suffix for suffix in _SUFFIXES if names[-1].endswith(suffix)), ""):
        names.append(names[-1].removesuffix(suffix))
    return names


def layer_precisions(graph: Graph) -> tuple[LayerPrecision, ...]:
    """How many operators compute in each precision; all but the most frequent with the names of their outputs."""
    producers = graph.producers()
    names: dict[str, list[str]] = {}
    for operator in graph.operators:
        if precision := precision_of(operator, producers):
            names.setdefault(precision, []).append(layer_name(operator.output))
    ranked = sorted(names.items(), key=lambda item: (-len(item[1]), item[0]))
    return tuple(
        LayerPrecision(precision, len(found), tuple(dict.fromkeys(found))[:_MOST_NAMED] if rank else ())
        for rank, (precision, found) in enumerate(ranked)
    )
