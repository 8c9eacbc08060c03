"""The metadata_props of an .onnx file, read and written without the onnx package.

Field numbers are those of onnx/onnx.proto: ModelProto.graph is 7, ModelProto.metadata_props is 14, and in
StringStringEntryProto key is 1, value 2. Only top-level fields are looked at: the graph is skipped by its
length, so the cost does not depend on the model's size.
"""

import mmap
from pathlib import Path

from edgewise.errors import ModelFileError
from edgewise.protobuf_wire import BYTES, Field, bytes_field, fields

ACTIVATIONS = "edgewise_activations"
"""The property that says what 8-bit activations are."""
_GRAPH, _METADATA_PROPS, _KEY, _VALUE = 7, 14, 1, 2


def looks_like_onnx(head: bytes) -> bool:
    """Whether these first bytes may begin a ModelProto: ir_version, as every exporter writes it first."""
    return len(head) >= 2 and head[0] == 0x08 and 1 <= head[1] < 0x80


def has_int8_activations(model: str | bytes) -> bool:
    """Whether an .onnx file, given by its path or its bytes, says that all its activations in 8 bits are int8."""
    try:
        data = model if isinstance(model, bytes) else _mapped(model)
        return read_properties(data).get(ACTIVATIONS) == "int8"
    except (ModelFileError, OSError, ValueError):
        return False  # the runtime will say what is wrong with it


def _mapped(path: str) -> memoryview:
    with Path(path).open("rb") as stream:
        return memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))


def read_properties(data: bytes | memoryview) -> dict[str, str]:
    """All metadata_props. Raises ModelFileError when the bytes are not a whole ModelProto."""
    view = memoryview(data)
    properties = {}
    has_graph = False
    for field in fields(view, 0, len(view)):
        has_graph |= field.number == _GRAPH and field.wire == BYTES
        if _is_property(field):
            key, value = _entry(view, field)
            properties[key] = value
    if not has_graph:
        raise ModelFileError("truncated, or another kind of file: expected an ONNX model with a graph")
    return properties


def with_properties(data: bytes | memoryview, properties: dict[str, str]) -> bytes:
    """The same model with these metadata_props set; an empty value removes one, others stay.

    Setting is appending: protobuf lets the elements of a repeated field stand anywhere.
    """
    view = memoryview(data)
    pieces: list[bytes | memoryview] = []
    start = 0
    for field in fields(view, 0, len(view)):
        if _is_property(field) and _entry(view, field)[0] in properties:
            pieces.append(view[start : field.start])
            start = field.end
    pieces.append(view[start:])
    for key, value in properties.items():
        if value:
            pieces.append(bytes_field(_METADATA_PROPS, bytes_field(_KEY, key) + bytes_field(_VALUE, value)))
    return b"".join(pieces)


def _is_property(field: Field) -> bool:
    return field.number == _METADATA_PROPS and field.wire == BYTES


def _entry(view: memoryview, field: Field) -> tuple[str, str]:
    texts = {_KEY: "", _VALUE: ""}
    for part in fields(view, field.body, field.end):
        if part.wire == BYTES:
            texts[part.number] = str(view[part.body : part.end], "utf-8", "replace")
    return texts[_KEY], texts[_VALUE]
