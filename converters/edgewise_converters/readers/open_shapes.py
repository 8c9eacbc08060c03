"""Input shapes with open dimensions, made fixed: by what the user says of an input or of a dimension, else batch 1."""

import difflib
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from edgewise_converters.errors import SourceError

Shape: TypeAlias = tuple[int, ...]
Dim: TypeAlias = int | str | None
"""A number, or an open dimension by its name, or an open one without a name; 0 is open and no batch."""
Declared: TypeAlias = Sequence[Dim] | None
"""None where not even the number of dimensions is known."""
_NO_BATCH = ("seq", "time", "len", "frame", "token", "step")
"""What is in the names of first dimensions that are no batch: time comes first in some recurrent networks."""


def fix_shapes(
    file: str, declared: Mapping[str, Declared], hints: Mapping[str, Shape]
) -> tuple[dict[str, Shape], tuple[str, ...]]:
    """By name of input, its fixed shape; and what to say of those that were open.

    ``hints`` are shapes by name of input, or single numbers by name of dimension, which hold wherever the dimension
    occurs. Raises SourceError for hints that do not fit and for dimensions that stay open.
    """
    return _Fixing(file, declared).run(hints)


class _Fixing:
    def __init__(self, file: str, declared: Mapping[str, Declared]) -> None:
        self.file, self.declared = file, declared
        self.known: dict[str, int] = {}
        """By name of dimension."""
        self.said_by: dict[str, str] = {}

    def run(self, hints: Mapping[str, Shape]) -> tuple[dict[str, Shape], tuple[str, ...]]:
        """Names of dimensions first, then inputs, then batches; whatever is left is refused."""
        symbols = self._symbols()
        for name, hint in hints.items():
            if name in self.declared:
                self._bind_input(name, hint)
            elif name in symbols:
                self._bind_symbol(name, hint)
            else:
                raise self._unknown(name, symbols)
        batches = self._bind_batches(hints)
        shapes = {name: self._shape(name, hints.get(name)) for name in self.declared}
        self._check(shapes)
        fixed = {name: tuple(dim for dim in shape if isinstance(dim, int)) for name, shape in shapes.items()}
        return fixed, tuple(self._notices(fixed, batches))

    def _symbols(self) -> list[str]:
        dims = (dim for shape in self.declared.values() for dim in shape or ())
        return list(dict.fromkeys(dim for dim in dims if isinstance(dim, str)))

    def _bind_symbol(self, name: str, hint: Shape) -> None:
        if len(hint) != 1:
            raise SourceError(f"--shape {name}: got {len(hint)} numbers for a dimension, expected one")
        self._bind(name, hint[0], f"--shape {name}")

    def _bind_input(self, name: str, hint: Shape) -> None:
        shape = self.declared[name]
        if shape is None:
            return
        if len(shape) != len(hint):
            raise SourceError(
                f"--shape {name}: got {len(hint)} dimensions, the model has {len(shape)}: {show(shape)}"
            )
        for want, have in zip(hint, shape, strict=True):
            if isinstance(have, int) and have > 0 and want != have:
                raise SourceError(f"--shape {name}: got {want} where the model fixes {have}: {show(shape)}")
            if isinstance(have, str):
                self._bind(have, want, f"--shape {name}")

    def _bind(self, symbol: str, size: int, option: str) -> None:
        if self.known.setdefault(symbol, size) != size:
            raise SourceError(
                f"{option}: got {size} for dimension '{symbol}', which is {self.known[symbol]} by "
                f"{self.said_by[symbol]}; expected one size"
            )
        self.said_by.setdefault(symbol, option)

    def _bind_batches(self, hints: Mapping[str, Shape]) -> set[str]:
        """Open first dimensions become 1; returns the inputs for which this is to be said."""
        batches = set()
        for name, shape in self.declared.items():
            first = shape[0] if shape else 0
            if name in hints or first in self.known or first == 0 or isinstance(first, int):
                continue
            if first is None or not any(part in first.lower() for part in _NO_BATCH):
                batches.add(name)
                if first is not None:
                    self.known[first] = 1
                    batches |= {other for other, dims in self.declared.items() if first in (dims or ())}
        return batches

    def _shape(self, name: str, hint: Shape | None) -> list[Dim]:
        shape = self.declared[name]
        if hint is not None or shape is None:
            return list(hint or [None])
        sizes = [self.known.get(dim, dim) if isinstance(dim, str) else dim for dim in shape]
        return [
            1 if axis == 0 and dim is None else None if dim == 0 else dim for axis, dim in enumerate(sizes)
        ]

    def _check(self, shapes: Mapping[str, list[Dim]]) -> None:
        """Raise SourceError that names every open dimension and what to type."""
        left = {name: shape for name, shape in shapes.items() if not all(isinstance(d, int) for d in shape)}
        if not left:
            return
        name = next(iter(left))
        symbols = list(dict.fromkeys(d for dims in left.values() for d in dims if isinstance(d, str)))
        unnamed = any(dim is None for dims in left.values() for dim in dims)
        whole = " ".join(
            f"--shape {other}={','.join(str(d) if isinstance(d, int) else '...' for d in dims)}"
            for other, dims in left.items()
        )
        by_symbol = " ".join(f"--shape {symbol}=..." for symbol in symbols)
        options = whole if unnamed or not symbols else f"{by_symbol} (or {whole})"
        raise SourceError(
            f"input '{name}': its shape {show(self.declared[name])} is open, expected fixed numbers; say which with "
            f"{options}"
        )

    def _notices(self, fixed: Mapping[str, Shape], batches: set[str]) -> list[str]:
        notices = []
        for name, shape in fixed.items():
            declared = self.declared[name]
            if declared is not None and tuple(declared) == shape:
                continue
            if name in batches:
                what = f"has an open batch dimension: converted for batch 1, shape {show(shape)}"
            else:
                what = f"has shape {show(shape)} as asked"
            notices.append(f"input '{name}' {what}")
        return notices

    def _unknown(self, name: str, symbols: Sequence[str]) -> SourceError:
        near = difflib.get_close_matches(name, [*self.declared, *symbols], 1)
        dims = f", its open dimensions {', '.join(symbols)}" if symbols else ""
        return SourceError(
            f"--shape {name}: {self.file} has no such input; its inputs are {', '.join(self.declared)}{dims}"
            + (f" (did you mean {near[0]}?)" if near else "")
        )


def show(shape: Sequence[Dim] | None) -> str:
    """A shape for people; open dimensions by name, or as a question mark."""
    if shape is None:
        return "(unknown)"
    return "[" + ",".join(str(dim or "?") for dim in shape) + "]"
