"""Several operators that together say one of ONNX's, written as one would write the formula."""

from collections.abc import Mapping, Sequence

import numpy as np

from edgewise_converters.lower.lowering import Lowering
from edgewise_converters.tflite.graph import Option, Tensor

_COMPARISONS = frozenset({"EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL"})
_SAME_SHAPE_OF_ANY_RANK = frozenset({
    "ADD", "SUB", "MUL", "DIV", "LOGISTIC", "TANH", "RELU", "RELU6", "EXP", "ABS", "NEG", "SQRT", "RSQRT",
})  # fmt: skip
"""Their kernels go through the elements one by one where all operands have one shape, or are numbers."""
_MAX_BROADCAST_RANK = 4
"""What every broadcasting kernel of both runtimes takes (TFLite, internal/reference: NdArrayDesc<4>, some <5>)."""


class Formula:
    """`f("MUL", x, 2.0)` appends an operator; operands broadcast, and numbers become constants of x's type."""

    def __init__(self, low: Lowering, name: str) -> None:
        self.low = low
        self.name = name

    def __call__(
        self,
        kind: str,
        *terms: Tensor | float,
        dtype: np.dtype[np.generic] | type | None = None,
        options: Mapping[str, Option] | None = None,
    ) -> Tensor:
        """One operator over all ``terms``; a comparison gives booleans."""
        like = next(term.dtype for term in reversed(terms) if isinstance(term, Tensor))
        tensors = [term if isinstance(term, Tensor) else self.constant(term, like) for term in terms]
        result = np.dtype(np.bool_) if kind in _COMPARISONS else np.dtype(dtype) if dtype else like
        shape = np.broadcast_shapes(*(tensor.shape for tensor in tensors))
        name = f"{self.name}/{kind.lower()}"
        if len(shape) > _MAX_BROADCAST_RANK:
            tensors = [self._number(tensor) for tensor in tensors]
        same = all(tensor.shape in (shape, ()) for tensor in tensors)
        if len(shape) <= _MAX_BROADCAST_RANK or (same and kind in _SAME_SHAPE_OF_ANY_RANK):
            return self.low.emit(kind, tensors, shape, name, dtype=result, options=options)
        narrow, merged = self._few_axes(tensors, shape, name)
        wide = self.low.emit(kind, narrow, merged, f"{name}/few", dtype=result, options=options)
        return self.low.reshape(wide, shape, name)

    def _number(self, tensor: Tensor) -> Tensor:
        """A constant of one element without axes; any other tensor as it is."""
        if tensor.data is None or tensor.data.size != 1:
            return tensor
        return Tensor.constant(self.low.name(f"{tensor.name}/number"), tensor.data.reshape(()))

    def _few_axes(
        self, tensors: list[Tensor], shape: tuple[int, ...], name: str
    ) -> tuple[list[Tensor], tuple[int, ...]]:
        """The operands of the same broadcast with few axes, and its shape; repeated where no axes can be merged."""
        small, merged = _merged([tensor.shape for tensor in tensors], shape)
        narrow = [self._reshape(t, dims, f"{name}/merged") for t, dims in zip(tensors, small, strict=True)]
        if len(merged) <= _MAX_BROADCAST_RANK:
            return narrow, merged
        flat = (int(np.prod(merged)),)
        return [
            t if t.shape == () else self._reshape(self._spread(t, merged), flat, name) for t in narrow
        ], flat

    def _reshape(self, tensor: Tensor, shape: tuple[int, ...], name: str) -> Tensor:
        if tensor.data is None:
            return self.low.reshape(tensor, shape, name)
        return Tensor.constant(self.low.name(name), tensor.data.reshape(shape))

    def _spread(self, tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Every element repeated to ``shape``."""
        name = f"{self.name}/spread"
        if tensor.shape == shape:
            return tensor
        if tensor.data is not None:
            return Tensor.constant(self.low.name(name), np.broadcast_to(tensor.data, shape))
        return self.low.emit("BROADCAST_TO", [tensor, self.low.ints(shape, f"{name}/shape")], shape, name)

    def constant(self, value: object, dtype: np.dtype[np.generic] | type) -> Tensor:
        """A constant of ``dtype``."""
        return Tensor.constant(self.low.name(f"{self.name}/constant"), np.asarray(value, dtype))

    def cast(self, tensor: Tensor, dtype: np.dtype[np.generic] | type) -> Tensor:
        """``tensor`` as ``dtype``; integers wrap around. Nothing is emitted where it has the type already."""
        if tensor.dtype == dtype:
            return tensor
        if tensor.data is not None:
            return Tensor.constant(self.low.name(f"{self.name}/cast"), tensor.data.astype(dtype))
        return self.low.emit("CAST", [tensor], tensor.shape, f"{self.name}/cast", dtype=dtype)

    def where(self, condition: Tensor, chosen: Tensor | float, other: Tensor | float) -> Tensor:
        """``chosen`` where ``condition`` holds, else ``other``."""
        like = next(term.dtype for term in (chosen, other) if isinstance(term, Tensor))
        both = [term if isinstance(term, Tensor) else self.constant(term, like) for term in (chosen, other)]
        return self("SELECT_V2", condition, *both, dtype=like)


def _merged(
    shapes: Sequence[tuple[int, ...]], result: tuple[int, ...]
) -> tuple[list[tuple[int, ...]], tuple[int, ...]]:
    """The same broadcast with neighbouring axes taken together where all operands agree; scalars stay scalars."""
    rank = len(result)
    full = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    patterns = [tuple(shape[axis] == result[axis] for shape in full) for axis in range(rank)]
    runs: list[list[int]] = []
    for axis in (axis for axis in range(rank) if result[axis] != 1):
        if runs and patterns[runs[-1][-1]] == patterns[axis]:
            runs[-1].append(axis)
        else:
            runs.append([axis])

    def take(shape: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(int(np.prod([shape[axis] for axis in run])) for run in runs)

    small = [() if not shape else take(wide) for shape, wide in zip(shapes, full, strict=True)]
    return small, take(result)
