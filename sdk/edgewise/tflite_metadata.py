"""The standard TFLite Metadata: the part of a card that other tools read from a .tflite file.

Tables and slots are those of the public schema: tensorflow/tflite-support,
tensorflow_lite_support/metadata/metadata_schema.fbs (schema version 1.5.0, file identifier "M001").
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgewise.errors import ModelFileError
from edgewise.flatbuffer import Buffer, Table
from edgewise.model_card import GOLDEN_FILE, ImagePreprocess, ModelCard, TensorCard

if TYPE_CHECKING:
    from flatbuffers import Builder

BUFFER_NAME = "TFLITE_METADATA"
"""Under this name a .tflite's metadata vector points to the buffer."""
IDENTIFIER = b"M001"
CARD_FILE = "edgewise.json"
LABELS_FILE = "labels.txt"

# enum AssociatedFileType, enum ColorSpaceType, union ContentProperties, union ProcessUnitOptions
_FILE_UNKNOWN, _FILE_TENSOR_AXIS_LABELS, _FILE_TENSOR_VALUE_LABELS = 0, 2, 3
_COLOUR_CODES = {"": 0, "rgb": 1, "grey": 2}
_CONTENT_FEATURE, _CONTENT_IMAGE = 1, 2
_PROCESS_NORMALIZATION = 1
_MIN_PARSER_VERSION = "1.0.0"
"""Everything written here exists since the first version of the schema."""


@dataclass(frozen=True)
class AssociatedFile:
    """A file in the zip behind the flatbuffer."""

    name: str
    holds_labels: bool = False


@dataclass(frozen=True)
class TensorMetadata:
    """What the metadata says of one input or output."""

    name: str
    description: str = ""
    is_image: bool = False
    colour: str = ""
    """rgb, grey, or "" when the file does not say."""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    minimum: tuple[float, ...] = ()
    maximum: tuple[float, ...] = ()
    files: tuple[AssociatedFile, ...] = ()


@dataclass(frozen=True)
class TfliteMetadata:
    """The metadata of a .tflite file's first subgraph."""

    name: str = ""
    description: str = ""
    version: str = ""
    author: str = ""
    licence: str = ""
    inputs: tuple[TensorMetadata, ...] = ()
    outputs: tuple[TensorMetadata, ...] = ()
    files: tuple[AssociatedFile, ...] = ()

    @property
    def labels_file(self) -> str:
        """The name of the first output's label file, or ""."""
        files = (file for output in self.outputs for file in output.files)
        return next((file.name for file in files if file.holds_labels), "")


def of_tflite(data: bytes | memoryview) -> bytes | None:
    """The metadata buffer inside a .tflite file's bytes, or None when it has none.

    Raises ModelFileError for anything that is not a .tflite file, or a damaged one.
    """
    buffer = Buffer(data, what="model")
    if bytes(buffer.data[4:8]) != b"TFL3":
        raise ModelFileError("model: got no 'TFL3' at byte 4, expected a TensorFlow Lite file")
    model = buffer.root()
    # schema.fbs, table Model: metadata is slot 6, buffers slot 4; table Metadata: name 0, buffer 1.
    for entry in model.tables(6):
        if entry.text(0) != BUFFER_NAME:
            continue
        index = entry.integer(1, "<I")
        for position, candidate in enumerate(model.tables(4)):
            if position == index:
                return bytes(candidate.raw(0))
        raise buffer.damaged(f"its metadata is said to be in buffer {index}, which does not exist")
    return None


def decode(data: bytes | memoryview) -> TfliteMetadata:
    """Read a metadata buffer. Raises ModelFileError when it is damaged."""
    buffer = Buffer(data, what="TFLite metadata")
    if bytes(buffer.data[4:8]) != IDENTIFIER:
        raise buffer.damaged("got no 'M001' at byte 4")
    root = buffer.root()
    subgraph = next(root.tables(3), None)
    return TfliteMetadata(
        name=root.text(0),
        description=root.text(1),
        version=root.text(2),
        author=root.text(4),
        licence=root.text(5),
        inputs=tuple(map(_read_tensor, subgraph.tables(2))) if subgraph else (),
        outputs=tuple(map(_read_tensor, subgraph.tables(3))) if subgraph else (),
        files=_read_files(root, 6),
    )


def _read_tensor(table: Table) -> TensorMetadata:
    is_image, colour = _read_content(table.table(3))
    mean, std = _read_normalization(table)
    stats = table.table(5)
    return TensorMetadata(
        name=table.text(0),
        description=table.text(1),
        is_image=is_image,
        colour=colour,
        mean=mean,
        std=std,
        minimum=stats.numbers(1, "f") if stats else (),
        maximum=stats.numbers(0, "f") if stats else (),
        files=_read_files(table, 6),
    )


def _read_content(content: Table | None) -> tuple[bool, str]:
    properties = content.table(1) if content and content.integer(0, "<B") == _CONTENT_IMAGE else None
    if properties is None:
        return False, ""
    code = properties.integer(0, "<b")
    return True, next((name for name, value in _COLOUR_CODES.items() if value == code), "")


def _read_normalization(table: Table) -> tuple[tuple[float, ...], tuple[float, ...]]:
    for unit in table.tables(4):
        options = unit.table(1)
        if options is not None and unit.integer(0, "<B") == _PROCESS_NORMALIZATION:
            return options.numbers(0, "f"), options.numbers(1, "f")
    return (), ()


def _read_files(table: Table, slot: int) -> tuple[AssociatedFile, ...]:
    label_kinds = (_FILE_TENSOR_AXIS_LABELS, _FILE_TENSOR_VALUE_LABELS)
    return tuple(
        AssociatedFile(file.text(0), file.integer(2, "<b") in label_kinds) for file in table.tables(slot)
    )


def encode(card: ModelCard) -> bytes:
    """The metadata buffer for a model with this card; `write_model` adds the files it names."""
    from flatbuffers import Builder

    builder = Builder(1024)
    inputs = _vector(builder, [_write_input(builder, tensor) for tensor in card.inputs])
    first_output = _write_output(builder, card.outputs[0], card.labels)
    others = [_write_output(builder, tensor, ()) for tensor in card.outputs[1:]]
    outputs = _vector(builder, [first_output, *others])
    subgraph = _table(builder, 10, {2: inputs, 3: outputs})
    files = [_write_file(builder, CARD_FILE, "Model card of edgewise", _FILE_UNKNOWN)]
    if card.golden:
        files.append(_write_file(builder, GOLDEN_FILE, "Inputs with their expected outputs", _FILE_UNKNOWN))
    root = _table(
        builder,
        8,
        {
            0: builder.CreateString(card.name),
            1: builder.CreateString(_description(card)),
            2: builder.CreateString(str(card.version)),
            3: _vector(builder, [subgraph]),
            5: builder.CreateString(card.licence),
            6: _vector(builder, files),
            7: builder.CreateString(_MIN_PARSER_VERSION),
        },
    )
    builder.Finish(root, IDENTIFIER)
    return bytes(builder.Output())


def _description(card: ModelCard) -> str:
    facts = [card.task, card.precision, f"for {card.target}" if card.target else "", "made with edgewise"]
    return ", ".join(fact for fact in facts if fact)


def _write_input(builder: "Builder", tensor: TensorCard) -> int:
    if tensor.image is None:
        return _write_tensor(builder, tensor, content=_write_content(builder, _CONTENT_FEATURE, 0, {}))
    # The schema knows RGB and GRAYSCALE; BGR is said in words and its colour space left unknown.
    colour = _COLOUR_CODES.get(tensor.image.colour, 0)
    slots = {1: _write_size(builder, tensor.image)}
    units = _vector(builder, [_write_normalization(builder, tensor.image)])
    return _write_tensor(
        builder,
        tensor,
        content=_write_content(builder, _CONTENT_IMAGE, colour, slots),
        units=units,
        stats=_write_stats(builder, *_value_range(tensor.image)),
        description=f"{tensor.image.colour.upper()} image, {tensor.image.resize}, (pixel - mean) / std",
    )


def _write_output(builder: "Builder", tensor: TensorCard, labels: tuple[str, ...]) -> int:
    files = 0
    if labels:
        entry = _write_file(builder, LABELS_FILE, "Labels by index", _FILE_TENSOR_AXIS_LABELS)
        files = _vector(builder, [entry])
    stats = _write_stats(builder, (0.0,), (1.0,)) if tensor.activation == "probabilities" else 0
    return _write_tensor(
        builder,
        tensor,
        content=_write_content(builder, _CONTENT_FEATURE, 0, {}),
        stats=stats,
        files=files,
        description=tensor.activation,
    )


def _write_tensor(
    builder: "Builder",
    tensor: TensorCard,
    *,
    content: int,
    units: int = 0,
    stats: int = 0,
    files: int = 0,
    description: str = "",
) -> int:
    name = builder.CreateString(tensor.name)
    words = builder.CreateString(description)
    return _table(builder, 7, {0: name, 1: words, 3: content, 4: units, 5: stats, 6: files})


def _write_content(builder: "Builder", kind: int, colour: int, slots: dict[int, int]) -> int:
    fields = 2 if kind == _CONTENT_IMAGE else 0
    properties = _table(builder, fields, slots, int8={0: colour})
    return _table(builder, 3, {1: properties}, uint8={0: kind})


def _write_size(builder: "Builder", image: ImagePreprocess) -> int:
    return _table(builder, 2, {}, uint32={0: image.size_wh[0], 1: image.size_wh[1]})


def _write_normalization(builder: "Builder", image: ImagePreprocess) -> int:
    mean, std = _floats(builder, image.mean), _floats(builder, image.std)
    return _table(
        builder,
        2,
        {1: _table(builder, 2, {0: mean, 1: std})},
        uint8={0: _PROCESS_NORMALIZATION},
    )


def _value_range(image: ImagePreprocess) -> tuple[tuple[float, ...], tuple[float, ...]]:
    count = max(len(image.mean), len(image.std))
    means = image.mean * (count if len(image.mean) == 1 else 1)
    stds = image.std * (count if len(image.std) == 1 else 1)
    pairs = list(zip(means, stds, strict=True))
    return tuple((0 - mean) / std for mean, std in pairs), tuple((255 - mean) / std for mean, std in pairs)


def _write_stats(builder: "Builder", minimum: tuple[float, ...], maximum: tuple[float, ...]) -> int:
    return _table(builder, 2, {0: _floats(builder, maximum), 1: _floats(builder, minimum)})


def _write_file(builder: "Builder", name: str, description: str, kind: int) -> int:
    slots = {0: builder.CreateString(name), 1: builder.CreateString(description)}
    return _table(builder, 5, slots, int8={2: kind})


def _table(
    builder: "Builder",
    fields: int,
    offsets: dict[int, int],
    *,
    int8: dict[int, int] | None = None,
    uint8: dict[int, int] | None = None,
    uint32: dict[int, int] | None = None,
) -> int:
    """One table of ``fields`` slots; an offset of 0 is an absent field."""
    builder.StartObject(fields)
    for slot, offset in offsets.items():
        if offset:
            builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    for slot, number in (uint32 or {}).items():
        builder.PrependUint32Slot(slot, number, 0)
    for slot, number in (int8 or {}).items():
        if number:
            builder.PrependInt8Slot(slot, number, 0)
    for slot, number in (uint8 or {}).items():
        builder.PrependUint8Slot(slot, number, 0)
    return int(builder.EndObject())


def _vector(builder: "Builder", offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def _floats(builder: "Builder", values: tuple[float, ...]) -> int:
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependFloat32(value)
    return int(builder.EndVector())
