"""The parts of a flatbuffer that a network has many of, each written once and in one go."""

import struct
from collections.abc import Mapping, Sequence

import flatbuffers
import numpy as np

from edgewise.tensors import Array

# schema.fbs declares Buffer.data with force_align 16; kernels load weights with aligned vector instructions.
_BUFFER_ALIGNMENT = 16
_FORMS: dict[type, str] = {np.float32: "f", np.int32: "i", np.int64: "q"}
_FIRST_BYTES = 64
"""By which buffers are told apart before all of them is compared."""


class Tables(flatbuffers.Builder):  # type: ignore[misc]  # flatbuffers has no types
    """A Builder that writes a table by one call; a search for a quantization writes hundreds of networks.

    All that is returned are offsets from the end, as everywhere in the Builder.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._vectors: dict[tuple[object, ...], int] = {}
        self._vtables: dict[tuple[int, ...], int] = {}
        """By number of offsets in a table, and the slots of all its fields."""
        self.buffers: list[int] = [self.table({})]
        """The model's buffers; the first one is empty, for tensors without data."""
        self._alike: dict[tuple[int, bytes], list[tuple[int, int]]] = {}
        """By size and first bytes of a buffer: where its bytes lie, and its index."""

    def table(self, offsets: Mapping[int, int | None], numbers: Mapping[int, int] | None = None) -> int:
        """A table of offsets and numbers by slot; an offset of None and a number of 0 are left out.

        Each number takes 32 bits, so that shorter ones must not be negative.
        """
        targets = {slot: offset for slot, offset in offsets.items() if offset is not None}
        fields = {slot: number for slot, number in (numbers or {}).items() if number}
        layout = (len(targets), *targets, *fields)
        if layout not in self._vtables:
            self._vtables[layout] = self._vtable([*targets, *fields])
        size = 4 * (1 + len(targets) + len(fields))
        here = self._reserve(size)
        # Offsets count from where they are written: to the vtable backwards, to all else forwards.
        words = [here - 4 * place - target for place, target in enumerate(targets.values(), 1)]
        form = f"<{1 + len(words)}i{len(fields)}i"
        vtable = self._vtables[layout] - here
        struct.pack_into(form, self.Bytes, self.head, vtable, *words, *fields.values())
        return here

    def _vtable(self, slots: Sequence[int]) -> int:
        """For tables that hold these slots in this order, four bytes each, behind their first four."""
        places = [0] * (max(slots, default=-1) + 1)
        for place, slot in enumerate(slots, 1):
            places[slot] = 4 * place
        size = 2 * (2 + len(places))
        here = self._reserve(size)
        struct.pack_into(f"<{2 + len(places)}H", self.Bytes, self.head, size, 4 * (1 + len(slots)), *places)
        return here

    def _reserve(self, size: int) -> int:
        """Room for ``size`` bytes at a multiple of four; where it begins."""
        self.Prep(4, size)
        self.head -= size
        return int(self.Offset())

    def tables(self, offsets: Sequence[int]) -> int:
        """A vector of tables."""
        self.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.PrependUOffsetTRelative(offset)
        return int(self.EndVector())

    def numbers(self, values: Sequence[int] | Sequence[float], dtype: type) -> int:
        """A vector; equal ones are written once (zero points per channel would otherwise be a tenth of a file)."""
        key = (dtype, *values)
        if key not in self._vectors:
            form = _FORMS[dtype]
            size = struct.calcsize(form)
            self.StartVector(size, len(values), size)
            self.head -= size * len(values)
            struct.pack_into(f"<{len(values)}{form}", self.Bytes, self.head, *values)
            self._vectors[key] = int(self.EndVector())
        return self._vectors[key]

    def buffer(self, data: Array) -> int:
        """The index of a buffer; equal ones are written once (the weights of a recurrent step are in every step)."""
        raw = data.reshape(-1).view(np.uint8)
        alike = self._alike.setdefault((raw.size, raw[:_FIRST_BYTES].tobytes()), [])
        for end, index in alike:
            start = len(self.Bytes) - end
            if np.array_equal(np.frombuffer(self.Bytes, np.uint8)[start : start + raw.size], raw):
                return index
        self.StartVector(1, raw.size, _BUFFER_ALIGNMENT)
        self.head -= raw.size
        self.Bytes[self.head : self.head + raw.size] = raw.data
        alike.append((int(self.Offset()), len(self.buffers)))
        self.buffers.append(self.table({0: int(self.EndVector())}))
        return len(self.buffers) - 1
