"""The protobuf wire format, as far as model files need it, without a protobuf library.

See "Encoding" in the Protocol Buffers documentation: a field is a tag (number and wire type) and a body.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from edgewise.errors import ModelFileError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_MAX_FIELDS = 1_000_000
"""No model has so many fields in one message; a file of garbage could."""


@dataclass(frozen=True)
class Field:
    """Where one field of a message lies."""

    number: int
    wire: int
    start: int
    """Where its tag begins."""
    body: int
    end: int


def fields(view: memoryview, start: int, end: int) -> Iterator[Field]:
    """The fields of the message in these bytes; bodies are skipped. Raises ModelFileError."""
    position = start
    for _ in range(_MAX_FIELDS):
        if position == end:
            return
        tag, body = _varint(view, position, end)
        number, wire = tag >> 3, tag & 7
        if wire == VARINT:
            stop = _varint(view, body, end)[1]
        elif wire == BYTES:
            length, body = _varint(view, body, end)
            stop = body + length
        elif wire in (FIXED64, FIXED32):
            stop = body + (8 if wire == FIXED64 else 4)
        else:
            raise _damaged(f"wire type {wire} at byte {position}")
        if stop > end:
            raise _damaged(f"field {number} at byte {position} needs {stop - end} more bytes than there are")
        yield Field(number, wire, position, body, stop)
        position = stop
    raise _damaged(f"more than {_MAX_FIELDS} fields")


def varint_field(number: int, value: int) -> bytes:
    """One integer field."""
    return _encode_varint(number << 3 | VARINT) + _encode_varint(value)


def bytes_field(number: int, body: bytes | str) -> bytes:
    """One field of text, bytes, or an embedded message."""
    content = body.encode() if isinstance(body, str) else body
    return _encode_varint(number << 3 | BYTES) + _encode_varint(len(content)) + content


def _varint(view: memoryview, position: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= end:
            break
        byte = view[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise _damaged(f"no whole number before byte {position}")


def _encode_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _damaged(reason: str) -> ModelFileError:
    return ModelFileError(f"truncated or damaged: {reason}")
