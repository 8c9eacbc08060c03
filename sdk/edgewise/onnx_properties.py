"""The metadata_props of an .onnx file, read and written on the protobuf wire without the onnx package.

Field numbers are those of onnx/onnx.proto: ModelProto.graph is 7, ModelProto.metadata_props is 14, and in
StringStringEntryProto key is 1, value 2. Only top-level fields are looked at: the graph is skipped by its
length, so the cost does not depend on the model's size.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from edgewise.errors import ModelFileError

_GRAPH, _METADATA_PROPS, _KEY, _VALUE = 7, 14, 1, 2
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_FIELDS = 1_000_000
"""No model has so many top-level fields; a file of garbage could."""


@dataclass(frozen=True)
class _Field:
    number: int
    wire: int
    start: int
    """Where its tag begins."""
    body: int
    end: int


def looks_like_onnx(head: bytes) -> bool:
    """Whether these first bytes may begin a ModelProto: ir_version, as every exporter writes it first."""
    return len(head) >= 2 and head[0] == 0x08 and 1 <= head[1] < 0x80


def read_properties(data: bytes | memoryview) -> dict[str, str]:
    """All metadata_props. Raises ModelFileError when the bytes are not a whole ModelProto."""
    view = memoryview(data)
    properties = {}
    has_graph = False
    for field in _fields(view, 0, len(view)):
        has_graph |= field.number == _GRAPH and field.wire == _BYTES
        if field.number == _METADATA_PROPS and field.wire == _BYTES:
            key, value = _entry(view, field)
            properties[key] = value
    if not has_graph:
        raise ModelFileError("model: got a protobuf message without a graph, expected an ONNX model")
    return properties


def with_properties(data: bytes | memoryview, properties: dict[str, str]) -> bytes:
    """The same model with these metadata_props set; others stay. Repeated fields may simply be appended."""
    view = memoryview(data)
    pieces = []
    start = 0
    for field in _fields(view, 0, len(view)):
        if field.number == _METADATA_PROPS and _entry(view, field)[0] in properties:
            pieces.append(view[start : field.start])
            start = field.end
    pieces.append(view[start:])
    for key, value in properties.items():
        body = _bytes_field(_KEY, key.encode()) + _bytes_field(_VALUE, value.encode())
        pieces.append(memoryview(_bytes_field(_METADATA_PROPS, body)))
    return b"".join(pieces)


def _entry(view: memoryview, field: _Field) -> tuple[str, str]:
    texts = {_KEY: "", _VALUE: ""}
    for part in _fields(view, field.body, field.end):
        if part.wire == _BYTES:
            texts[part.number] = str(view[part.body : part.end], "utf-8", "replace")
    return texts[_KEY], texts[_VALUE]


def _fields(view: memoryview, start: int, end: int) -> Iterator[_Field]:
    position = start
    for _ in range(_MAX_FIELDS):
        if position == end:
            return
        tag, body = _varint(view, position, end)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            stop = _varint(view, body, end)[1]
        elif wire == _BYTES:
            length, body = _varint(view, body, end)
            stop = body + length
        elif wire in (_FIXED64, _FIXED32):
            stop = body + (8 if wire == _FIXED64 else 4)
        else:
            raise _damaged(f"wire type {wire} at byte {position}")
        if stop > end or number == 0:
            raise _damaged(f"field {number} at byte {position} needs {stop - end} more bytes than there are")
        yield _Field(number, wire, position, body, stop)
        position = stop
    raise _damaged(f"more than {_MAX_FIELDS} fields")


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
    raise _damaged(f"no whole number at byte {position}")


def _damaged(reason: str) -> ModelFileError:
    return ModelFileError(f"ONNX model: truncated or damaged: {reason}")


def _bytes_field(number: int, body: bytes) -> bytes:
    return _encode_varint(number << 3 | _BYTES) + _encode_varint(len(body)) + body


def _encode_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
