"""Sole reader and writer of what model files carry.

A .tflite file is the flatbuffer, with standard TFLite Metadata in it, followed by a zip with the labels, the
card and the golden cases. An .onnx file carries the same three in its metadata_props. Every other tool still
reads both.
"""

import hashlib
import mmap
import os
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgewise import archive, atomic_file, golden, onnx_properties, tflite_check, tflite_metadata
from edgewise.errors import CardError, EdgewiseError, ModelFileError
from edgewise.golden import GoldenCase
from edgewise.model_card import GOLDEN_FILE, ModelCard
from edgewise.tflite_metadata import CARD_FILE, LABELS_FILE, TfliteMetadata

TFLITE = "tflite"
ONNX = "onnx"
_LABELS_PROPERTY = "labels"
_TEXT_LIMIT_BYTES = 8 * 1024 * 1024
"""For the card and the labels together; ImageNet's labels are 20 kB. Parsed, they take up to thirty times that."""


@dataclass(frozen=True)
class ModelFile:
    """One model file and what it carries; the network itself stays on the disk."""

    path: Path
    format: str
    """tflite or onnx, by content."""
    size_bytes: int
    card: ModelCard | None = None
    labels: tuple[str, ...] = ()
    """By output index: the card's, or those of a foreign file's standard metadata."""
    metadata: TfliteMetadata | None = None
    properties: dict[str, str] = field(default_factory=dict)
    """An .onnx file's metadata_props, without ours."""

    @property
    def task(self) -> str:
        """The card's task; "" when the file does not say."""
        return self.card.task if self.card else ""

    def golden(self) -> tuple[GoldenCase, ...]:
        """Read the golden cases; none when the file has none. Raises ModelFileError."""
        if self.card is None or self.card.golden is None:
            return ()
        return golden.decode(_read_golden(self), self.card, what=f"{self.path}: {GOLDEN_FILE}")

    def sha256(self) -> str:
        """The digest of the whole file, in hexadecimal."""
        return sha256_of(self.path)


def sha256_of(path: Path) -> str:
    """The digest of a whole file, in hexadecimal; nothing in it is looked at. Raises ModelFileError."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise _cannot("read", path, error) from error


def read_model(path: str | os.PathLike[str]) -> ModelFile:
    """Read what a model file carries. Costs milliseconds: weights are not loaded.

    Raises ModelFileError for a file that is missing, empty, truncated, or no model, and CardError for a
    malformed card.
    """
    path = Path(path)
    try:
        data = _map(path)
        head = bytes(data[:16])
        if head[4:8] == b"TFL3":
            return _read_tflite(path, data)
        if onnx_properties.looks_like_onnx(head):
            return _read_onnx(path, data)
    except EdgewiseError as error:
        raise _at(path, error) from error
    except OSError as error:
        raise _cannot("read", path, error) from error
    raise ModelFileError(f"{path}: it begins with {head!r}, expected a TensorFlow Lite or ONNX model")


def write_model(
    path: str | os.PathLike[str], network: bytes, *, card: ModelCard, golden: Sequence[GoldenCase] = ()
) -> None:
    """Write ``network`` (a .tflite flatbuffer or an .onnx file) with its card, labels and golden cases.

    What an earlier call put into ``network`` is replaced. A .tflite flatbuffer should have the bytes of
    `tflite_metadata.encode(card)` in it, so that other tools find the labels. The file appears whole or not
    at all. Raises ModelFileError, and CardError when ``golden`` is not what the card says.
    """
    path = Path(path)
    head = network[:8]
    if head[4:8] != b"TFL3" and not onnx_properties.looks_like_onnx(head):
        raise ModelFileError(f"{path}: the network begins with {head!r}, expected TensorFlow Lite or ONNX")
    proof = _encode_golden(golden, card)
    pieces = (
        _with_archive(network, card, proof) if head[4:8] == b"TFL3" else [_with_props(network, card, proof)]
    )
    try:
        atomic_file.write_bytes(path, pieces)
    except OSError as error:
        raise _cannot("write", path, error) from error


def _encode_golden(cases: Sequence[GoldenCase], card: ModelCard) -> bytes:
    proof = golden.encode(cases, card)
    return proof if cases else b""


def _with_archive(network: bytes, card: ModelCard, proof: bytes) -> list[bytes | memoryview]:
    """The flatbuffer as it is and the zip behind it; the weights are not copied."""
    files = {CARD_FILE: card.to_json().encode()}
    if card.labels:
        files[LABELS_FILE] = "".join(f"{label}\n" for label in card.labels).encode()
    if proof:
        files[GOLDEN_FILE] = proof
    size = archive.start_of_archive(network)
    return [memoryview(network)[:size], archive.pack(files, behind=size)]


def _with_props(network: bytes, card: ModelCard, proof: bytes) -> bytes:
    return onnx_properties.with_properties(
        network,
        {
            CARD_FILE: card.to_json(),
            _LABELS_PROPERTY: "\n".join(card.labels),
            GOLDEN_FILE: b64encode(proof).decode(),
        },
    )


def _read_tflite(path: Path, data: memoryview) -> ModelFile:
    tflite_check.check_structure(data)
    encoded = tflite_metadata.of_tflite(data)
    metadata = tflite_metadata.decode(encoded) if encoded else None
    labels_file = metadata.labels_file if metadata else ""
    with path.open("rb") as stream:
        names = {CARD_FILE, LABELS_FILE, labels_file}
        files = archive.unpack(stream, names, limit_bytes=_TEXT_LIMIT_BYTES, what="model")
    promised = {file.name for file in metadata.files} if metadata else set()
    if CARD_FILE in promised and CARD_FILE not in files:
        raise ModelFileError(f"truncated or damaged: its metadata names {CARD_FILE}, which is not there")
    card = ModelCard.from_json(files[CARD_FILE]) if CARD_FILE in files else None
    labels = _lines(files.get(labels_file or LABELS_FILE, b""))
    return ModelFile(
        path=path,
        format=TFLITE,
        size_bytes=len(data),
        card=card,
        labels=card.labels if card else labels,
        metadata=metadata,
    )


def _read_onnx(path: Path, data: memoryview) -> ModelFile:
    properties = onnx_properties.read_properties(data)
    text = properties.pop(CARD_FILE, "")
    properties.pop(GOLDEN_FILE, None)
    properties.pop(onnx_properties.ACTIVATIONS, None)
    labels = _lines(properties.get(_LABELS_PROPERTY, "").encode())
    if len(text) > _TEXT_LIMIT_BYTES:
        raise ModelFileError(f"its card has {len(text)} characters, expected at most {_TEXT_LIMIT_BYTES}")
    card = ModelCard.from_json(text) if text else None
    if card:
        properties.pop(_LABELS_PROPERTY, None)
    return ModelFile(
        path=path,
        format=ONNX,
        size_bytes=len(data),
        card=card,
        labels=card.labels if card else labels,
        properties=properties,
    )


def _read_golden(model: ModelFile) -> bytes:
    try:
        if model.format == TFLITE:
            with model.path.open("rb") as stream:
                files = archive.unpack(stream, {GOLDEN_FILE}, limit_bytes=golden.LIMIT_BYTES, what="model")
            content = files.get(GOLDEN_FILE, b"")
        else:
            properties = onnx_properties.read_properties(_map(model.path))
            content = b64decode(properties.get(GOLDEN_FILE, ""), validate=True)
    except ValueError as error:
        raise ModelFileError(f"{model.path}: {error}") from error
    except OSError as error:
        raise _cannot("read", model.path, error) from error
    if not content:
        raise ModelFileError(f"{model.path}: the card speaks of golden cases and the file has none")
    return content


def _lines(text: bytes) -> tuple[str, ...]:
    lines = text.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")
    return tuple(lines[:-1] if lines[-1] == "" else lines)


def _map(path: Path) -> memoryview:
    """The file's bytes, read as they are touched. Unmapped when the last view of them is gone."""
    with path.open("rb") as stream:
        if os.fstat(stream.fileno()).st_size == 0:
            raise ModelFileError("got an empty file, expected a TensorFlow Lite or ONNX model")
        return memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))


def _cannot(verb: str, path: Path, error: OSError) -> ModelFileError:
    return ModelFileError(f"{path}: cannot {verb}: {error.strerror or error}")


def _at(path: Path, error: EdgewiseError) -> EdgewiseError:
    kind = CardError if isinstance(error, CardError) else ModelFileError
    return kind(f"{path}: {error}")
