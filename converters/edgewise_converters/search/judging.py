"""Which values tell best how good a way to quantize is."""

from edgewise_converters.quantize.rules import SAME_SCALE, data_input
from edgewise_converters.tflite.graph import Graph, Operator, Tensor

_REPLACED, _ADDED = "SOFTMAX", "LOGISTIC"


def judged_tensors(graph: Graph) -> list[Tensor]:
    """The outputs, but what a softmax makes of its scores is judged by the scores.

    Probabilities saturate: nearly all noise is then in the few samples that are in doubt, and a choice by a few
    samples is a choice by chance. Of a sigmoid both sides are judged, since its answers near zero matter less. Results
    whose number depends on the data are judged by what they are chosen by.
    """
    producers = graph.producers()
    found: dict[int, Tensor] = {}
    for output in graph.outputs:
        chosen_by = _chosen_by(output, producers) if output.open_axis is not None else []
        if chosen_by:
            found.update((id(tensor), tensor) for tensor in chosen_by)
            continue
        last = _behind_moves(output, producers)
        if last is None or last.kind not in (_REPLACED, _ADDED):
            found[id(output)] = output
            continue
        scores = data_input(last)
        if last.kind == _ADDED:
            found[id(output)] = output
        if not scores.is_constant and not any(scores is entry for entry in graph.inputs):
            found[id(scores)] = scores
        else:
            found[id(output)] = output
    floats = [tensor for tensor in found.values() if tensor.is_float]
    return floats or list(graph.outputs)


def _chosen_by(output: Tensor, producers: dict[int, Operator]) -> list[Tensor]:
    """The real numbers that integers or booleans behind them are made of, such as boxes and scores."""
    waiting, seen = [output], {id(output)}
    found: list[Tensor] = []
    while waiting:
        operator = producers.get(id(waiting.pop()))
        for tensor in operator.inputs if operator is not None else ():
            if tensor is None or tensor.is_constant or id(tensor) in seen or id(tensor) not in producers:
                continue
            seen.add(id(tensor))
            if operator is not None and tensor.is_float and not any(t.is_float for t in operator.outputs):
                found.append(tensor)
            else:
                waiting.append(tensor)
    return found


def _behind_moves(tensor: Tensor, producers: dict[int, Operator]) -> Operator | None:
    """What writes a tensor, seen through operators that only move values."""
    operator = producers.get(id(tensor))
    while operator is not None and operator.kind in SAME_SCALE:
        operator = producers.get(id(data_input(operator)))
    return operator
