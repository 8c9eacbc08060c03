"""Formulas with products of matrices, reductions and moves, for operators that are several of TFLite's."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from edgewise.tensors import Array
from edgewise_converters.lower.formula import Formula
from edgewise_converters.tflite.graph import Option, Tensor

Operand: TypeAlias = Tensor | Array | float

_MAX_BATCH_AXES = 3
"""BATCH_MATMUL takes five axes (tflite-runtime 2.14, kernels/batch_matmul.cc)."""


class Algebra(Formula):
    """A formula in stored axes; numbers and arrays become constants of the dtype of what they meet."""

    def constant(self, value: object, dtype: np.dtype[np.generic] | type = np.float32) -> Tensor:
        """A constant tensor, of float32 unless said."""
        return super().constant(value, dtype)

    def apply(self, kind: str, *operands: Operand, **options: Option) -> Tensor:
        """One operator on operands that broadcast."""
        dtype = next(operand.dtype for operand in operands if isinstance(operand, Tensor))
        tensors = [o if isinstance(o, Tensor) else self.constant(o, dtype) for o in operands]
        return self(kind, *tensors, options=options)

    def add(self, left: Operand, right: Operand) -> Tensor:
        return self.apply("ADD", left, right)

    def sub(self, left: Operand, right: Operand) -> Tensor:
        return self.apply("SUB", left, right)

    def mul(self, left: Operand, right: Operand) -> Tensor:
        return self.apply("MUL", left, right)

    def div(self, left: Operand, right: Operand) -> Tensor:
        return self.apply("DIV", left, right)

    def clip(self, tensor: Tensor, least: float, most: float) -> Tensor:
        """``tensor`` held between two numbers."""
        return self.apply("MINIMUM", self.apply("MAXIMUM", tensor, least), most)

    def reduce(self, kind: str, tensor: Tensor, axes: Sequence[int], *, keep: bool = True) -> Tensor:
        """MEAN, SUM, REDUCE_MAX and the like over stored axes."""
        gone = set(axes)
        if keep:
            shape = [1 if axis in gone else dim for axis, dim in enumerate(tensor.shape)]
        else:
            shape = [dim for axis, dim in enumerate(tensor.shape) if axis not in gone]
        where = self.low.ints(sorted(gone), f"{self.name}/axes")
        return self.low.emit(kind, [tensor, where], shape, self._step(kind), options={"keepDims": keep})

    def product(self, left: Tensor, right: Tensor, *, transpose_right: bool = False) -> Tensor:
        """The matrix product over the last two axes; the axes before them broadcast."""
        columns = right.shape[-2 if transpose_right else -1]
        batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
        if len(batch) > _MAX_BATCH_AXES:
            count = int(np.prod(batch))
            narrow = [
                self.reshape(self._spread(tensor, (*batch, *tensor.shape[-2:])), (count, *tensor.shape[-2:]))
                for tensor in (left, right)
            ]
            product = self.product(*narrow, transpose_right=transpose_right)
            return self.reshape(product, (*batch, *product.shape[1:]))
        return self.low.emit(
            "BATCH_MATMUL",
            [left, right],
            (*batch, left.shape[-2], columns),
            self._step("BATCH_MATMUL"),
            options={"adjY": transpose_right},
        )

    def _spread(self, tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
        """``tensor`` repeated to ``shape``, to which it broadcasts."""
        if tensor.shape == shape:
            return tensor
        target = self.low.ints(shape, f"{self.name}/shape")
        return self.low.emit("BROADCAST_TO", [tensor, target], shape, self._step("BROADCAST_TO"))

    def reshape(self, tensor: Tensor, shape: Sequence[int]) -> Tensor:
        """In another shape; a constant at once."""
        if tensor.data is not None:
            return self.constant(tensor.data.reshape(shape), tensor.dtype)
        return self.low.reshape(tensor, shape, self._step("RESHAPE"))

    def transpose(self, tensor: Tensor, perm: Sequence[int]) -> Tensor:
        """Transposed, unless ``perm`` changes nothing; a constant at once."""
        if list(perm) == sorted(perm):
            return tensor
        if tensor.data is not None:
            return self.constant(tensor.data.transpose(perm), tensor.dtype)
        return self.low.transpose(tensor, perm, self._step("TRANSPOSE"))

    def concat(self, tensors: Sequence[Tensor], axis: int) -> Tensor:
        """Tensors one after the other along an axis."""
        if len(tensors) == 1:
            return tensors[0]
        shape = list(tensors[0].shape)
        shape[axis] = sum(tensor.shape[axis] for tensor in tensors)
        where = axis % len(shape)
        return self.low.emit(
            "CONCATENATION", list(tensors), shape, self._step("CONCATENATION"), options={"axis": where}
        )

    def gather(self, tensor: Tensor, indices: Tensor | Array, axis: int) -> Tensor:
        """The entries at ``indices`` along an axis."""
        where = indices if isinstance(indices, Tensor) else self.constant(indices, np.int32)
        shape = (*tensor.shape[:axis], *where.shape, *tensor.shape[axis + 1 :])
        return self.low.emit(
            "GATHER", [tensor, where], shape, self._step("GATHER"), dtype=tensor.dtype, options={"axis": axis}
        )

    def slice(
        self, tensor: Tensor, begin: Sequence[int], end: Sequence[int], steps: Sequence[int] | None = None
    ) -> Tensor:
        """A STRIDED_SLICE with positive steps and bounds within the tensor; nothing where it is everything."""
        steps = [1] * len(begin) if steps is None else steps
        shape = [-(-(e - b) // s) for b, e, s in zip(begin, end, steps, strict=True)]
        if tuple(shape) == tensor.shape:
            return tensor
        if tensor.data is not None:
            chosen = tuple(slice(*bound) for bound in zip(begin, end, steps, strict=True))
            return self.constant(tensor.data[chosen], tensor.dtype)
        bounds = [
            self.low.ints(values, f"{self.name}/{what}")
            for values, what in ((begin, "begin"), (end, "end"), (steps, "steps"))
        ]
        return self.low.emit("STRIDED_SLICE", [tensor, *bounds], shape, self._step("STRIDED_SLICE"))

    def part(self, tensor: Tensor, axis: int, begin: int, end: int, step: int = 1) -> Tensor:
        """The entries from ``begin`` to ``end`` along one axis."""
        first, last, steps = [0] * len(tensor.shape), list(tensor.shape), [1] * len(tensor.shape)
        first[axis], last[axis], steps[axis] = begin, end, step
        return self.slice(tensor, first, last, steps)

    def pad(self, tensor: Tensor, amounts: Sequence[tuple[int, int]], fill: float = 0.0) -> Tensor:
        """Padded before and after each axis; nothing is emitted where nothing is to be added."""
        if not any(before or after for before, after in amounts):
            return tensor
        shape = [dim + before + after for dim, (before, after) in zip(tensor.shape, amounts, strict=True)]
        where = Tensor.constant(self.low.name(f"{self.name}/pads"), np.array(amounts, np.int32))
        if fill == 0.0:
            return self.low.emit("PAD", [tensor, where], shape, self._step("PAD"))
        number = self.constant([fill], tensor.dtype)
        return self.low.emit("PADV2", [tensor, where, number], shape, self._step("PADV2"))

    def _step(self, kind: str) -> str:
        return f"{self.name}/{kind.lower()}"
