"""Small repairs of the lowered graph: activations fuse into what they follow, reshapes of reshapes become one."""

from edgewise_converters.tflite.graph import Graph, Operator
from edgewise_converters.tflite.schema import Activation

_FUSED = {"RELU": Activation.RELU, "RELU6": Activation.RELU6, "RELU_N1_TO_1": Activation.RELU_N1_TO_1}
_FUSING = frozenset({
    "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "SUB", "MUL", "DIV",
})  # fmt: skip
"""Not the poolings: in int8 they keep their input's scale, of which a RELU6 behind them may need a part only."""


def tidy(graph: Graph) -> None:
    """Apply every repair. Exact."""
    _fuse_activations(graph)
    _join_reshapes(graph)
    graph.remove_unused()


def _fuse_activations(graph: Graph) -> None:
    consumers, producers = graph.consumers(), graph.producers()
    leaving = {id(tensor) for tensor in graph.outputs}
    kept: list[Operator] = []
    for operator in graph.operators:
        source = operator.inputs[0] if operator.kind in _FUSED else None
        before = producers.get(id(source)) if source is not None else None
        fusible = (
            before is not None
            and before.kind in _FUSING
            and source is not None
            and source.is_float
            and not before.options.get("fusedActivationFunction")
            and len(consumers[id(source)]) == 1
            and id(source) not in leaving
        )
        if not fusible:
            kept.append(operator)
            continue
        assert before is not None
        before.options["fusedActivationFunction"] = _FUSED[operator.kind]
        before.outputs = operator.outputs
        producers[id(operator.output)] = before
    graph.operators = kept


def _join_reshapes(graph: Graph) -> None:
    producers = graph.producers()
    for operator in graph.operators:
        if operator.kind != "RESHAPE":
            continue
        source = operator.inputs[0]
        while (
            source is not None
            and (before := producers.get(id(source))) is not None
            and before.kind == "RESHAPE"
        ):
            source = before.inputs[0]
            operator.inputs[0] = source
