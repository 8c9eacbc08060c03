"""An ONNX file without its large weights: each of them says instead where in that very file it lies.

Parsing a model copies every weight, and the file itself lies in memory while it is parsed. Here the file is only
mapped. ONNX already has a form for weights that lie elsewhere (TensorProto.external_data, onnx.proto); the rewritten
model says that they lie in the file it came from. Protobuf's encoding: protobuf.dev/programming-guides/encoding.
"""

import mmap
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import onnx

_LARGE_BYTES = 1 << 16
"""Weights below it are parsed as usual: a mapping of their own would cost more."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {_FIXED64: 8, _FIXED32: 4}
_LONGEST_VARINT = 10
_MODEL, _GRAPH, _NODE, _ATTRIBUTE, _TENSOR = (
    "ModelProto",
    "GraphProto",
    "NodeProto",
    "AttributeProto",
    "TensorProto",
)
_CHILDREN = {
    _MODEL: {7: _GRAPH},
    _GRAPH: {1: _NODE, 5: _TENSOR},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH},
}
"""By message, the fields that may hold weights (onnx.proto)."""
_DATA_TYPE, _FLOAT_DATA, _RAW_DATA, _DATA_LOCATION = 2, 4, 9, 14

Pieces: TypeAlias = list[bytes]


@dataclass(frozen=True)
class _Field:
    """One field of a message, by its place in the file."""

    number: int
    wire_type: int
    start: int
    """Of its tag."""
    value: int
    """Of its content; for a varint the number itself."""
    end: int


def read_skeleton(path: Path) -> onnx.ModelProto:
    """The model in ``path``, its large weights as external data in the file of that name.

    Raises OSError, and ValueError or protobuf's DecodeError for what is no ONNX model.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        size = os.fstat(file.fileno()).st_size
        rewritten = b"".join(_Skeleton(data, path.name).message(_MODEL, 0, size))
    return onnx.ModelProto.FromString(rewritten)


class _Skeleton:
    def __init__(self, data: mmap.mmap, location: str) -> None:
        self.data, self.location = data, location

    def message(self, kind: str, start: int, end: int) -> Pieces:
        """The message between two offsets, rewritten."""
        if end - start < _LARGE_BYTES:
            return [self.data[start:end]]
        fields = list(self._fields(start, end))
        if kind == _TENSOR:
            return self._tensor(fields)
        pieces: Pieces = []
        for field in fields:
            child = _CHILDREN[kind].get(field.number) if field.wire_type == _BYTES else None
            if child is None or field.end - field.value < _LARGE_BYTES:
                pieces.append(self.data[field.start : field.end])
            else:
                inner = self.message(child, field.value, field.end)
                pieces += [_tag(field.number, sum(map(len, inner))), *inner]
        return pieces

    def _tensor(self, fields: Sequence[_Field]) -> Pieces:
        """A tensor whose bytes lie in one piece points to them; any other stays as it is."""
        weights = _bytes_of_elements(fields)
        if weights is None:
            return [self.data[field.start : field.end] for field in fields]
        kept = [self.data[field.start : field.end] for field in fields if field is not weights]
        length = weights.end - weights.value
        where = {"location": self.location, "offset": str(weights.value), "length": str(length)}
        entries = [onnx.StringStringEntryProto(key=key, value=value) for key, value in where.items()]
        pointer = onnx.TensorProto(external_data=entries, data_location=onnx.TensorProto.EXTERNAL)
        return [*kept, pointer.SerializeToString()]

    def _fields(self, start: int, end: int) -> Iterator[_Field]:
        offset = start
        while offset < end:
            tag, value = self._varint(offset, end)
            number, wire_type = tag >> 3, tag & 7
            if wire_type == _BYTES:
                length, value = self._varint(value, end)
                after = value + length
            elif wire_type == _VARINT:
                value, after = self._varint(value, end)
            elif wire_type in _FIXED_SIZES:
                after = value + _FIXED_SIZES[wire_type]
            else:
                raise ValueError(f"offset {offset}: wire type {wire_type} is none of ONNX's")
            if after > end:
                raise ValueError(
                    f"offset {offset}: field {number} ends {after - end} bytes behind its message"
                )
            yield _Field(number, wire_type, offset, value, after)
            offset = after

    def _varint(self, offset: int, end: int) -> tuple[int, int]:
        """A number of seven bits a byte, lowest first, and the offset behind it."""
        result = 0
        for i in range(_LONGEST_VARINT):
            if offset + i >= end:
                break
            byte = self.data[offset + i]
            result |= (byte & 0x7F) << 7 * i
            if byte < 0x80:
                return result, offset + i + 1
        raise ValueError(f"offset {offset}: a number does not end")


def _bytes_of_elements(fields: Sequence[_Field]) -> _Field | None:
    """The one field that holds all elements of a tensor as they lie in memory; None where there is no such field."""
    if any(field.number == _DATA_LOCATION and field.value for field in fields):
        return None
    types = [field.value for field in fields if field.number == _DATA_TYPE]
    large = [
        field for field in fields if field.wire_type == _BYTES and field.end - field.value >= _LARGE_BYTES
    ]
    if len(large) != 1 or len(types) != 1:
        return None
    packed_floats = large[0].number == _FLOAT_DATA and types[0] == onnx.TensorProto.FLOAT
    return large[0] if large[0].number == _RAW_DATA or packed_floats else None


def _tag(number: int, length: int) -> bytes:
    """What stands before a field of ``length`` bytes."""
    return _encoded(number << 3 | _BYTES) + _encoded(length)


def _encoded(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
