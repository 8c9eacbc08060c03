"""Small TFLite files as others write them, built operator by operator."""

from pathlib import Path

import numpy as np

from edgewise.tensors import Array
from edgewise_converters.reference import TfliteReference
from edgewise_converters.tflite.graph import Graph, Operator, Option, Tensor
from edgewise_converters.tflite.passes import canonicalize
from edgewise_converters.tflite.reader import read_graph
from edgewise_converters.tflite.writer import serialize

VALID = {"padding": 1, "strideH": 1, "strideW": 1}
REWRITTEN_DB = 110.0
"""What moving scales into weights leaves of float32: each weight is rounded once more."""


class Net:
    """A graph in the making."""

    def __init__(self, *shape: int) -> None:
        self.rng = np.random.default_rng(5)
        self.entry = Tensor("x", shape, np.dtype(np.float32))
        self.graph = Graph("main", [self.entry])

    def weights(self, *shape: int) -> Tensor:
        """Seeded random numbers."""
        return self.constant(self.rng.standard_normal(shape).astype(np.float32) / np.sqrt(np.prod(shape[1:])))

    def constant(self, array: Array) -> Tensor:
        return Tensor.constant(f"c{len(self.graph.operators)}_{self.rng.integers(1 << 30)}", array)

    def ints(self, *numbers: int) -> Tensor:
        return self.constant(np.array(numbers, np.int32))

    def add(
        self,
        kind: str,
        inputs: list[Tensor | None],
        *shape: int,
        options: dict[str, Option] | None = None,
        dtype: type = np.float32,
    ) -> Tensor:
        """Append an operator."""
        output = Tensor(f"t{len(self.graph.operators)}", shape, np.dtype(dtype))
        self.graph.operators.append(Operator(kind, inputs, [output], dict(options or {})))
        return output

    def save(self, path: Path, *outputs: Tensor) -> Path:
        """Write the graph with these outputs."""
        self.graph.outputs = list(outputs)
        path.write_bytes(serialize(self.graph, description="", metadata={}))
        return path


def kinds(graph: Graph) -> list[str]:
    return [operator.kind for operator in graph.operators]


def rewritten(path: Path) -> Graph:
    """The graph of a file, canonicalized, after a check that it still answers the same."""
    graph = read_graph(path.read_bytes(), {})
    canonicalize(graph)
    before, after = TfliteReference(path), TfliteReference(serialize(graph, description="", metadata={}))
    rng = np.random.default_rng(0)
    for _ in range(2):
        feed = {spec.name: rng.standard_normal(spec.shape).astype(spec.dtype) for spec in before.inputs}
        for want, got in zip(before.run(feed).values(), after.run(feed).values(), strict=True):
            noise = float(np.square(want - got).sum())
            assert noise <= float(np.square(want).sum()) * 10 ** (-REWRITTEN_DB / 10)
    return graph
