"""The standard TFLite Metadata: the part of a card that other tools read from a .tflite file.

Tables and slots are those of the public schema: tensorflow/tflite-support,
tensorflow_lite_support/metadata/metadata_schema.fbs (schema version 1.5.0, file identifier "M001").
"""

from dataclasses import dataclass

from edgewise.errors import ModelFileError
from edgewise.flatbuffer_reader import Buffer, Table
from edgewise.flatbuffer_writer import Writer
from edgewise.model_card import GOLDEN_FILE, ImagePreprocess, ModelCard, TensorCard

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
    writer = Writer()
    outputs = [_write_output(writer, card.outputs[0], card.labels)]
    outputs += [_write_output(writer, tensor, ()) for tensor in card.outputs[1:]]
    inputs = [_write_input(writer, tensor) for tensor in card.inputs]
    subgraph = writer.table(10, {2: writer.tables(inputs), 3: writer.tables(outputs)})
    files = [_write_file(writer, CARD_FILE, "Model card of edgewise", _FILE_UNKNOWN)]
    if card.golden:
        files.append(_write_file(writer, GOLDEN_FILE, "Inputs with their expected outputs", _FILE_UNKNOWN))
    model = {
        0: writer.text(card.name),
        1: writer.text(_describe(card)),
        2: writer.text(str(card.version)),
        3: writer.tables([subgraph]),
        5: writer.text(card.licence),
        6: writer.tables(files),
        7: writer.text(_MIN_PARSER_VERSION),
    }
    return writer.finish(writer.table(8, model), IDENTIFIER)


def _describe(card: ModelCard) -> str:
    facts = [card.task, card.precision, f"for {card.target}" if card.target else "", "made with edgewise"]
    return ", ".join(fact for fact in facts if fact)


def _write_input(writer: Writer, tensor: TensorCard) -> int:
    image = tensor.image
    if image is None:
        return writer.table(7, {0: writer.text(tensor.name), 3: _write_features(writer)})
    size = writer.table(2, words={0: image.size_wh[0], 1: image.size_wh[1]})
    # The schema knows RGB and GRAYSCALE; for BGR the colour space stays unknown and the words say it.
    properties = writer.table(2, {1: size}, bytes_={0: _COLOUR_CODES.get(image.colour, 0)})
    options = writer.table(2, {0: writer.floats(image.mean), 1: writer.floats(image.std)})
    unit = writer.table(2, {1: options}, bytes_={0: _PROCESS_NORMALIZATION})
    minimum, maximum = _value_range(image)
    slots = {
        0: writer.text(tensor.name),
        1: writer.text(f"{image.colour.upper()} image, {image.resize}, (pixel - mean) / std"),
        3: writer.table(3, {1: properties}, bytes_={0: _CONTENT_IMAGE}),
        4: writer.tables([unit]),
        5: _write_stats(writer, minimum, maximum),
    }
    return writer.table(7, slots)


def _write_output(writer: Writer, tensor: TensorCard, labels: tuple[str, ...]) -> int:
    slots = {0: writer.text(tensor.name), 1: writer.text(tensor.activation), 3: _write_features(writer)}
    if tensor.activation == "probabilities":
        slots[5] = _write_stats(writer, (0.0,), (1.0,))
    if labels:
        entry = _write_file(writer, LABELS_FILE, "Labels by index", _FILE_TENSOR_AXIS_LABELS)
        slots[6] = writer.tables([entry])
    return writer.table(7, slots)


def _write_features(writer: Writer) -> int:
    return writer.table(3, {1: writer.table(0)}, bytes_={0: _CONTENT_FEATURE})


def _write_stats(writer: Writer, minimum: tuple[float, ...], maximum: tuple[float, ...]) -> int:
    return writer.table(2, {0: writer.floats(maximum), 1: writer.floats(minimum)})


def _write_file(writer: Writer, name: str, description: str, kind: int) -> int:
    return writer.table(5, {0: writer.text(name), 1: writer.text(description)}, bytes_={2: kind})


def _value_range(image: ImagePreprocess) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """What black and what white become, per channel."""
    count = max(len(image.mean), len(image.std))
    means = image.mean if len(image.mean) == count else image.mean * count
    stds = image.std if len(image.std) == count else image.std * count
    black = tuple((0 - mean) / std for mean, std in zip(means, stds, strict=True))
    white = tuple((255 - mean) / std for mean, std in zip(means, stds, strict=True))
    return black, white
