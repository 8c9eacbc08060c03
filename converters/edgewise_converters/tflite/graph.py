"""A TFLite graph in memory: what lowering writes, quantization rewrites and the writer serializes."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from edgewise.tensors import Array, Quantization

Option: TypeAlias = "int | float | bool | tuple[int, ...] | Graph"


@dataclass(eq=False, slots=True)
class Tensor:
    """One tensor: a constant when it has data, otherwise computed when the graph runs."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    data: Array | None = None
    quantization: Quantization | None = None
    blocks: "BlockScales | None" = None
    """Scales of blocks of 4-bit weights, instead of a quantization."""
    open_axis: int | None = None
    """The axis along which its length, at most that in ``shape``, is known only when the model has run."""

    @property
    def is_constant(self) -> bool:
        return self.data is not None

    @property
    def is_float(self) -> bool:
        return bool(self.dtype == np.float32)

    @classmethod
    def constant(cls, name: str, data: Array, quantization: Quantization | None = None) -> "Tensor":
        """A constant tensor; the data is stored contiguous."""
        data = np.asarray(data, order="C")
        return cls(name, data.shape, data.dtype, data, quantization)

    def like(self, name: str, *, dtype: type | None = None) -> "Tensor":
        """A computed tensor of the same shape."""
        return Tensor(name, self.shape, np.dtype(dtype) if dtype else self.dtype)


@dataclass(frozen=True, eq=False, slots=True)
class BlockScales:
    """Scales of weights [outputs, inputs] that change along the inputs (schema.fbs, BlockwiseQuantization)."""

    scales: Tensor
    """Constant float16 [outputs, inputs / size]."""
    size: int
    """Inputs that share a scale."""


@dataclass(eq=False, slots=True)
class Operator:
    """One builtin operator; options are the fields of its options table in the schema.

    A field that numbers a subgraph (those of IF and WHILE) holds the graph itself; the writer knows its number.
    """

    kind: str
    inputs: list[Tensor | None]
    outputs: list[Tensor]
    options: dict[str, Option] = field(default_factory=dict)
    in_float: bool = False
    """Whether it is part of a formula whose inner values int8 would not carry."""

    @property
    def output(self) -> Tensor:
        return self.outputs[0]

    def with_graphs(self, change: "Callable[[Graph], Graph]") -> "Operator":
        """The same operator around changed graphs; itself where it has none."""
        if not any(isinstance(value, Graph) for value in self.options.values()):
            return self
        options = {
            name: change(value) if isinstance(value, Graph) else value for name, value in self.options.items()
        }
        return Operator(self.kind, self.inputs, self.outputs, options, self.in_float)


@dataclass(eq=False)
class Graph:
    """Operators in execution order, with the tensors that enter and leave."""

    name: str
    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    operators: list[Operator] = field(default_factory=list)

    def tensors(self) -> list[Tensor]:
        """Every tensor once: inputs first, then in order of first use."""
        seen: dict[int, Tensor] = {}
        for tensor in self._mentions():
            seen.setdefault(id(tensor), tensor)
        return list(seen.values())

    def _mentions(self) -> Iterator[Tensor]:
        yield from self.inputs
        for operator in self.operators:
            for tensor in operator.inputs:
                if tensor is not None:
                    yield tensor
                    if tensor.blocks is not None:
                        yield tensor.blocks.scales
            yield from operator.outputs
        yield from self.outputs

    def all_graphs(self) -> list["Graph"]:
        """This graph and, once each, those inside its operators, however deep; an operator's before the next one's."""
        found: dict[int, Graph] = {id(self): self}
        for operator in self.operators:
            for option in operator.options.values():
                if isinstance(option, Graph) and id(option) not in found:
                    found.update((id(graph), graph) for graph in option.all_graphs())
        return list(found.values())

    def consumers(self) -> dict[int, list[Operator]]:
        """By id of tensor, the operators that read it."""
        users: dict[int, list[Operator]] = {}
        for operator in self.operators:
            for tensor in operator.inputs:
                if tensor is not None:
                    users.setdefault(id(tensor), []).append(operator)
        return users

    def producers(self) -> dict[int, Operator]:
        """By id of tensor, the operator that writes it."""
        return {id(tensor): operator for operator in self.operators for tensor in operator.outputs}

    def remove_unused(self) -> None:
        """Drop operators whose outputs nobody reads."""
        needed = {id(tensor) for tensor in self.outputs}
        kept: list[Operator] = []
        for operator in reversed(self.operators):
            if any(id(tensor) in needed for tensor in operator.outputs):
                kept.append(operator)
                needed.update(id(tensor) for tensor in operator.inputs if tensor is not None)
        self.operators = kept[::-1]

    def copy(self) -> "Graph":
        """A graph with its own tensors and operators; constant data is shared, not copied."""
        twins = {
            id(t): Tensor(t.name, t.shape, t.dtype, t.data, t.quantization, t.blocks, t.open_axis)
            for t in self.tensors()
        }

        def twin(tensors: Iterable[Tensor]) -> list[Tensor]:
            return [twins[id(tensor)] for tensor in tensors]

        operators = [
            Operator(
                o.kind,
                [None if tensor is None else twins[id(tensor)] for tensor in o.inputs],
                twin(o.outputs),
                dict(o.options),
                o.in_float,
            )
            for o in self.operators
        ]
        return Graph(self.name, twin(self.inputs), twin(self.outputs), operators)
