"""Writing small flatbuffers table by table, with the flatbuffers library's Builder."""

from collections.abc import Mapping, Sequence
from typing import Any


class Writer:
    """Builds one flatbuffer from its leaves to its root. What it returns are offsets to give to `table`."""

    def __init__(self) -> None:
        import flatbuffers  # a device that only reads models needs none of it

        self._builder: Any = flatbuffers.Builder(1024)

    def text(self, value: str) -> int:
        """A string."""
        return int(self._builder.CreateString(value))

    def table(
        self,
        fields: int,
        offsets: Mapping[int, int] | None = None,
        *,
        bytes_: Mapping[int, int] | None = None,
        words: Mapping[int, int] | None = None,
    ) -> int:
        """A table of ``fields`` slots; an offset or a number of 0 is left out, as the schemas' default.

        ``bytes_`` are fields of 8 bits and ``words`` fields of 32, by slot, none of them negative.
        """
        self._builder.StartObject(fields)
        for slot, offset in (offsets or {}).items():
            self._builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
        for slot, number in (words or {}).items():
            self._builder.PrependUint32Slot(slot, number, 0)
        for slot, number in (bytes_ or {}).items():
            self._builder.PrependUint8Slot(slot, number, 0)
        return int(self._builder.EndObject())

    def tables(self, offsets: Sequence[int]) -> int:
        """A vector of tables."""
        self._builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self._builder.PrependUOffsetTRelative(offset)
        return int(self._builder.EndVector())

    def floats(self, values: Sequence[float]) -> int:
        """A vector of float32."""
        self._builder.StartVector(4, len(values), 4)
        for value in reversed(values):
            self._builder.PrependFloat32(value)
        return int(self._builder.EndVector())

    def ints(self, values: Sequence[int], *, bits: int = 32) -> int:
        """A vector of int32 or int64."""
        size = bits // 8
        prepend = self._builder.PrependInt64 if bits == 64 else self._builder.PrependInt32
        self._builder.StartVector(size, len(values), size)
        for value in reversed(values):
            prepend(value)
        return int(self._builder.EndVector())

    def raw(self, data: bytes, *, alignment: int = 1) -> int:
        """A vector of bytes whose first byte lies at a multiple of ``alignment``."""
        self._builder.Prep(alignment, len(data))
        return int(self._builder.CreateByteVector(data))

    def finish(self, root: int, identifier: bytes) -> bytes:
        """The whole flatbuffer."""
        self._builder.Finish(root, identifier)
        return bytes(self._builder.Output())
