"""Which input or output of one model is which of another, and how its axes lie there."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgewise.tensors import Array, TensorSpec
from edgewise_converters.errors import SourceError
from edgewise_converters.lower.layout import Layout, channels_last, identity, stored_shape

Shape = tuple[int, ...]
_NAMED: dict[Layout, str] = {(0, 2, 3, 1): "NCHW to NHWC", (0, 3, 1, 2): "NHWC to NCHW"}


@dataclass(frozen=True)
class Pair:
    """One tensor of the first model and its counterpart in the second."""

    first: TensorSpec
    second: TensorSpec
    order: Layout
    """Axis ``j`` of the second is axis ``order[j]`` of the first, once both have the same number of axes."""

    @property
    def is_reshaped(self) -> bool:
        """Whether the two differ in axes of length one."""
        return len(self.first.shape) != len(self.second.shape)

    @property
    def described(self) -> str:
        """How the second's axes lie, for people; "" where they lie alike."""
        if self.is_reshaped:
            return "reshaped"
        if self.order == identity(len(self.order)):
            return ""
        return _NAMED.get(self.order, f"transposed {list(self.order)}")

    def to_second(self, array: Array, shape: Shape) -> Array:
        """An array of the first model as the second takes it, of ``shape``."""
        return array.reshape(shape) if self.is_reshaped else array.transpose(self.order)

    def to_first(self, array: Array, shape: Shape) -> Array:
        """An array of the second model as the first would give it, of ``shape``."""
        return array.reshape(shape) if self.is_reshaped else array.transpose(np.argsort(self.order))


def match_tensors(
    what: str,
    first: Sequence[TensorSpec],
    second: Sequence[TensorSpec],
    *,
    source_names: Mapping[str, str] | None = None,
    all_of_them: bool = True,
) -> list[Pair]:
    """Pairs by name, the rest in order by shape, where axes may lie in another order (channels first or last).

    ``source_names`` are what tensors of the second were called in the model it was made from. With ``all_of_them``
    every tensor must find its pair. Raises SourceError.
    """
    pairs: dict[str, Pair] = {}
    left = list(second)
    for by_name in (True, False):
        for spec in first:
            if spec.name in pairs:
                continue
            found = next((o for o in left if _fits(spec, o, by_name, source_names or {})), None)
            if found is not None:
                pairs[spec.name] = Pair(spec, found, orders(spec.shape, found.shape)[0])
                left.remove(found)
    missing = [spec for spec in first if spec.name not in pairs]
    if not pairs or (all_of_them and (missing or left)):
        raise SourceError(
            f"the {what}s do not match: the first model has {_listed(first)}, the second {_listed(second)}; "
            f"expected the same ones, by name or by shape (axes of images may lie in another order)"
        )
    return [pairs[spec.name] for spec in first if spec.name in pairs]


def _fits(one: TensorSpec, other: TensorSpec, by_name: bool, source_names: Mapping[str, str]) -> bool:
    if by_name and one.name not in (other.name, source_names.get(other.name)):
        return False
    return bool(orders(one.shape, other.shape)) and _alike(one, other)


def _alike(one: TensorSpec, other: TensorSpec) -> bool:
    """Both real numbers (float, or quantized), or both plain integers."""
    return _is_real(one) == _is_real(other)


def _is_real(spec: TensorSpec) -> bool:
    return np.dtype(spec.dtype).kind == "f" or spec.quantization is not None


def orders(first: Shape, second: Shape) -> list[Layout]:
    """Every order of axes in which a tensor of shape ``second`` may hold one of shape ``first``, likeliest first.

    Open dimensions (-1) fit any. Shapes that differ in axes of length one fit in the order they have.
    """
    rank = len(first)
    if rank != len(second):
        squeezed = [tuple(dim for dim in shape if dim != 1) for shape in (first, second)]
        return [identity(len(second))] if squeezed[0] == squeezed[1] and -1 not in squeezed[0] else []
    candidates = [identity(rank)]
    if rank >= 3:
        last = channels_last(rank)
        candidates += [last, tuple(int(axis) for axis in np.argsort(last))]
    fitting = [
        order
        for order in dict.fromkeys(candidates)
        if all(
            -1 in pair or pair[0] == pair[1] for pair in zip(stored_shape(first, order), second, strict=True)
        )
    ]
    # A fixed dimension that agrees tells more than an open one, which agrees with everything.
    return sorted(
        fitting,
        key=lambda order: -sum(a == b for a, b in zip(stored_shape(first, order), second, strict=True)),
    )


def by_layout(pair: Pair, first: str, second: str) -> Pair:
    """The pair with the order that two known layouts (nchw, nhwc) ask for, where it fits."""
    wanted = next((order for order, name in _NAMED.items() if name.lower() == f"{first} to {second}"), None)
    if wanted is None or wanted not in orders(pair.first.shape, pair.second.shape):
        return pair
    return replace(pair, order=wanted)


def concrete_shapes(pair: Pair, asked: Shape | None) -> tuple[Shape, Shape]:
    """The shapes to feed an input of both models with: as asked, as the other fixes it, else batch 1.

    Raises SourceError where a dimension stays open.
    """
    first, second = pair.first.shape, pair.second.shape
    if asked is not None and not pair.first.accepts(asked):
        raise SourceError(f"--shape {pair.first.name}: got {list(asked)}, the model has {_shown(first)}")
    if pair.is_reshaped:
        return first, second
    shape = list(asked or first)
    for axis, source in enumerate(pair.order):
        if shape[source] < 0:
            shape[source] = second[axis] if second[axis] >= 0 else 1 if source == 0 else -1
    if -1 in shape:
        example = ",".join(str(dim) if dim >= 0 else "..." for dim in shape)
        raise SourceError(
            f"input '{pair.first.name}': its shape {_shown(first)} is open in both models, expected fixed numbers; "
            f"say which with --shape {pair.first.name}={example}"
        )
    other = stored_shape(shape, pair.order)
    if not pair.second.accepts(other):
        raise SourceError(
            f"input '{pair.first.name}': {_shown(tuple(shape))} of the first model would be {_shown(other)} of the "
            f"second, which has {_shown(second)}"
        )
    return tuple(shape), other


def _listed(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(f"'{spec.name}' {spec.dtype} {_shown(spec.shape)}" for spec in specs) or "none"


def _shown(shape: Shape) -> str:
    return "[" + ",".join("?" if dim < 0 else str(dim) for dim in shape) + "]"


def is_one_vector(spec: TensorSpec) -> bool:
    """Whether an output is one row of scores."""
    return bool(spec.shape) and spec.shape[-1] > 1 and abs(math.prod(spec.shape[:-1])) == 1
