"""Bounds-checked reading of flatbuffers: a hostile file gives ModelFileError and nothing else.

The layout is that of the FlatBuffers internals page ("FlatBuffer Internals: Tables, Vectors, Strings").
"""

import struct
from collections.abc import Iterator

from edgewise.errors import ModelFileError

_UINT32 = struct.Struct("<I")
_INT32 = struct.Struct("<i")
_UINT16 = struct.Struct("<H")


class Buffer:
    """The bytes of one flatbuffer, and how much reading it is worth.

    Tables may be pointed to many times, so a small file can describe endless work: every table and element
    that is visited costs one step, and a flatbuffer that describes itself once has fewer steps than bytes.
    """

    def __init__(self, data: bytes | memoryview, *, what: str) -> None:
        self.data = memoryview(data)
        self.what = what
        self._steps_left = max(len(self.data), 64)

    def root(self) -> "Table":
        """The first table."""
        return Table(self, self.follow(0))

    def spend(self, steps: int) -> None:
        """Count reading; raises ModelFileError when there is more of it than bytes."""
        self._steps_left -= steps
        if self._steps_left < 0:
            raise self.damaged("it describes more than it holds")

    def unpack(self, layout: struct.Struct, position: int) -> int:
        """One integer."""
        self.require(position, layout.size)
        value: int = layout.unpack_from(self.data, position)[0]
        return value

    def require(self, position: int, size: int) -> None:
        """Raise ModelFileError unless these bytes exist."""
        if position < 0 or position + size > len(self.data):
            raise self.damaged(f"byte {position + size} is used and there are {len(self.data)}")

    def follow(self, position: int) -> int:
        """Where the offset at this position points to."""
        return position + self.unpack(_UINT32, position)

    def damaged(self, reason: str) -> ModelFileError:
        """The error for this buffer."""
        return ModelFileError(f"{self.what}: truncated or damaged: {reason}")


class Table:
    """One table; fields are asked for by their slot in the schema."""

    __slots__ = ("_buffer", "_position", "_slots", "_vtable")

    def __init__(self, buffer: Buffer, position: int) -> None:
        buffer.spend(1)
        self._buffer = buffer
        self._position = position
        self._vtable = position - buffer.unpack(_INT32, position)
        vtable_bytes = buffer.unpack(_UINT16, self._vtable)
        buffer.require(self._vtable, max(vtable_bytes, 4))
        buffer.require(position, buffer.unpack(_UINT16, self._vtable + 2))
        self._slots = (vtable_bytes - 4) // 2

    def integer(self, slot: int, layout: str, default: int = 0) -> int:
        """A scalar field; ``layout`` is a struct format such as ``<I``."""
        position = self._field(slot)
        return default if position is None else self._buffer.unpack(struct.Struct(layout), position)

    def text(self, slot: int) -> str:
        """A string field; absent is empty."""
        return str(self.raw(slot), "utf-8", "replace")

    def raw(self, slot: int) -> memoryview:
        """The bytes of a vector of bytes or of a string; absent is empty."""
        start, length = self._vector(slot, 1)
        return self._buffer.data[start : start + length]

    def numbers(self, slot: int, layout: str) -> tuple[float, ...]:
        """A vector of scalars; ``layout`` is one struct letter such as ``f``."""
        start, length = self._vector(slot, struct.calcsize(f"<{layout}"))
        self._buffer.spend(length)
        return struct.unpack_from(f"<{length}{layout}", self._buffer.data, start)

    def table(self, slot: int) -> "Table | None":
        """A field that is a table, or None."""
        position = self._field(slot)
        return None if position is None else Table(self._buffer, self._buffer.follow(position))

    def tables(self, slot: int) -> Iterator["Table"]:
        """A vector of tables."""
        start, length = self._vector(slot, 4)
        for index in range(length):
            yield Table(self._buffer, self._buffer.follow(start + 4 * index))

    def count(self, slot: int) -> int:
        """How many elements of four bytes a vector has."""
        return self._vector(slot, 4)[1]

    def _field(self, slot: int) -> int | None:
        if slot >= self._slots:
            return None
        offset = self._buffer.unpack(_UINT16, self._vtable + 4 + 2 * slot)
        return self._position + offset if offset else None

    def _vector(self, slot: int, item_bytes: int) -> tuple[int, int]:
        position = self._field(slot)
        if position is None:
            return 0, 0
        start = self._buffer.follow(position)
        length = self._buffer.unpack(_UINT32, start)
        self._buffer.require(start + 4, length * item_bytes)
        return start + 4, length
