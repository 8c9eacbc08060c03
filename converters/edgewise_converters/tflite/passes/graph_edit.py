"""What the rewrites of a TFLite graph share: who reads what, and constants in the forms they look for."""

from dataclasses import dataclass

import numpy as np

from edgewise.tensors import Array
from edgewise_converters.tflite.graph import Graph, Operator, Tensor


@dataclass(frozen=True)
class Links:
    """Who writes and who reads each tensor, by its id."""

    producers: dict[int, Operator]
    consumers: dict[int, list[Operator]]
    leaving: frozenset[int]

    @classmethod
    def of(cls, graph: Graph) -> "Links":
        """The links of a graph as it is now."""
        return cls(graph.producers(), graph.consumers(), frozenset(id(t) for t in graph.outputs))

    def producer(self, tensor: Tensor | None) -> Operator | None:
        """Who writes it; None for inputs and constants."""
        return None if tensor is None else self.producers.get(id(tensor))

    def only_reader(self, tensor: Tensor) -> Operator | None:
        """The one operator that reads it; None if there are more, or if it leaves the graph."""
        readers = self.consumers.get(id(tensor), [])
        return readers[0] if len(readers) == 1 and id(tensor) not in self.leaving else None


def is_fused(operator: Operator) -> bool:
    """Whether an activation is part of the operator."""
    return bool(operator.options.get("fusedActivationFunction"))


def scalar(tensor: Tensor | None) -> float | None:
    """The value of a float constant whose elements are all the same."""
    if tensor is None or tensor.data is None or not tensor.is_float or not tensor.data.size:
        return None
    first = float(tensor.data.reshape(-1)[0])
    return first if bool((tensor.data == tensor.data.reshape(-1)[0]).all()) else None


def with_constant(operator: Operator) -> tuple[Tensor, Array] | None:
    """The computed and the constant operand of a float operator of two, whichever comes first."""
    if len(operator.inputs) != 2:
        return None
    first, second = operator.inputs
    if first is None or second is None or not operator.output.is_float:
        return None
    if second.data is not None and first.data is None:
        return first, np.asarray(second.data)
    if first.data is not None and second.data is None:
        return second, np.asarray(first.data)
    return None


def drop(graph: Graph, gone: list[Operator]) -> None:
    """Remove operators."""
    ids = {id(operator) for operator in gone}
    graph.operators = [operator for operator in graph.operators if id(operator) not in ids]
