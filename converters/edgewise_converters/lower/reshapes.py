"""Reshapes that only stand between operators which do not mind the shape: moved behind them, joined, dropped."""

import math

import numpy as np

from edgewise_converters.tflite.graph import Graph, Operator, Tensor

_BY_ELEMENT = frozenset({
    "ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "RELU", "RELU6", "RELU_N1_TO_1",
    "LEAKY_RELU", "LOGISTIC", "TANH", "ABS", "NEG", "EXP", "LOG", "SQRT", "RSQRT", "SQUARE", "GELU", "ELU",
    "HARD_SWISH",
})  # fmt: skip
_MAX_RANK = 4
_MOST_ROUNDS = 8
"""Each moves a reshape behind one more operator of a chain; chains between two reshapes are short."""


def tidy_reshapes(graph: Graph) -> None:
    """Move reshapes behind what works element by element, then join and drop them. Exact."""
    numbers: dict[int, Tensor] = {}
    for _ in range(_MOST_ROUNDS):
        moved = _Mover(graph, numbers).move()
        join_reshapes(graph)
        _drop_empty(graph)
        graph.remove_unused()
        if not moved:
            return


def join_reshapes(graph: Graph) -> None:
    """A reshape of a reshape reads what that one reads."""
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


def _drop_empty(graph: Graph) -> None:
    """Whoever reads a reshape to the same shape reads its source."""
    leaving = {id(tensor) for tensor in graph.outputs}
    instead: dict[int, Tensor] = {}
    for operator in graph.operators:
        operator.inputs = [t if t is None else instead.get(id(t), t) for t in operator.inputs]
        source = operator.inputs[0] if operator.inputs else None
        same = operator.kind == "RESHAPE" and source is not None and source.shape == operator.output.shape
        if same and source is not None and id(operator.output) not in leaving:
            instead[id(operator.output)] = source


class _Mover:
    def __init__(self, graph: Graph, numbers: dict[int, Tensor]) -> None:
        self.graph = graph
        self.numbers = numbers
        """By id of a constant of one element, the same without axes."""
        self.readers, self.producers = graph.consumers(), graph.producers()
        self.leaving = {id(tensor) for tensor in graph.outputs}

    def move(self) -> bool:
        """Put the reshape of an operator's data behind it, where that brings two reshapes together."""
        operators: list[Operator] = []
        moved = False
        for operator in self.graph.operators:
            operators.append(operator)
            if self._moves_element_wise(operator) or self._moves_dense(operator):
                operators.append(self._reshaped_after(operator))
                moved = True
        self.graph.operators = operators
        return moved

    def _source(self, tensor: Tensor | None) -> Tensor | None:
        """What a reshape made this of, where there is one."""
        before = self.producers.get(id(tensor)) if tensor is not None else None
        return before.inputs[0] if before is not None and before.kind == "RESHAPE" else None

    def _is_alone(self, tensor: Tensor, operator: Operator) -> bool:
        """Whether nobody but the operator, and reshapes, which read further up, reads this."""
        readers = self.readers.get(id(tensor), [])
        return id(tensor) not in self.leaving and all(r is operator or r.kind == "RESHAPE" for r in readers)

    def _meets_reshape(self, operator: Operator) -> bool:
        readers = self.readers.get(id(operator.output), [])
        return bool(readers) and all(reader.kind == "RESHAPE" for reader in readers)

    def _moves_element_wise(self, operator: Operator) -> bool:
        if operator.kind not in _BY_ELEMENT or any(t is None for t in operator.inputs):
            return False
        data = [t for t in operator.inputs if t is not None and not _is_number(t)]
        sources = [self._source(tensor) for tensor in data]
        shapes = {source.shape for source in sources if source is not None}
        if not data or None in sources or len(shapes) != 1 or len(next(iter(shapes))) > _MAX_RANK:
            return False
        if any(tensor.shape != operator.output.shape for tensor in data):
            return False
        alone = [self._is_alone(tensor, operator) for tensor in data]
        if not (all(alone) if len(data) == 1 else any(alone)) or not (
            len(data) > 1 or self._meets_reshape(operator)
        ):
            return False
        operator.inputs = [
            self._as_number(t) if t is not None and _is_number(t) else self._source(t)
            for t in operator.inputs
        ]
        return True

    def _moves_dense(self, operator: Operator) -> bool:
        """A dense layer works on the last axis, however many stand before it."""
        if operator.kind != "FULLY_CONNECTED" or not self._meets_reshape(operator):
            return False
        data = operator.inputs[0]
        source = self._source(data)
        if data is None or source is None or len(source.shape) <= 2 or source.shape[-1] != data.shape[-1]:
            return False
        if not self._is_alone(data, operator):
            return False
        operator.inputs[0] = source
        operator.options["keepNumDims"] = True
        return True

    def _as_number(self, tensor: Tensor) -> Tensor:
        """The same number without axes, which broadcasts to any shape."""
        if tensor.shape == () or tensor.data is None:
            return tensor
        plain = Tensor.constant(f"{tensor.name}/number", tensor.data.reshape(()), tensor.quantization)
        return self.numbers.setdefault(id(tensor), plain)

    def _reshaped_after(self, operator: Operator) -> Operator:
        """The reshape that restores what the operator gave before its data was exchanged."""
        result = operator.output
        source = next(t for t in operator.inputs if t is not None and not _is_number(t))
        shape = source.shape
        if operator.kind == "FULLY_CONNECTED":
            shape = (*source.shape[:-1], result.shape[-1])
        inner = Tensor(f"{result.name}/before_reshape", shape, result.dtype)
        operator.outputs = [inner]
        target = Tensor.constant(f"{inner.name}/shape", np.array(result.shape, np.int32))
        reshape = Operator(
            "RESHAPE", [inner, target], [result], {"newShape": result.shape}, operator.in_float
        )
        self.producers[id(inner)], self.producers[id(result)] = operator, reshape
        return reshape


def _is_number(tensor: Tensor) -> bool:
    return tensor.data is not None and math.prod(tensor.shape) == 1
