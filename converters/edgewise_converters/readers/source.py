"""What is known of a model to convert, whatever its format: where it came from and what it takes, no weights."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgewise.model_card import ImagePreprocess
from edgewise.tensors import Array
from edgewise_converters.errors import SourceError

ONNX, TFLITE, TORCH = "onnx", "tflite", "pt2"
_READ_BLOCK = 1 << 20
_HEAD_BYTES = 16
_ZIP = b"PK\x03\x04"


@dataclass(frozen=True)
class SourceInput:
    """One input of the model to convert."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]


@dataclass(frozen=True)
class Inherited:
    """What a model file says of itself, which holds where the user says nothing else."""

    labels: tuple[str, ...] = ()
    images: Mapping[str, ImagePreprocess] = field(default_factory=dict)
    """By name of input: how pictures become it."""
    characters: tuple[str, ...] = ()
    """Of a recogniser of text, perhaps without the blank and the space that belong to them."""
    task: str = ""
    signature: Mapping[str, str] = field(default_factory=dict)
    """By name of input and output, its name in a TFLite file's signature."""


@dataclass(frozen=True)
class Source:
    """Where a model came from and what it takes, without its weights."""

    path: Path
    sha256: str
    opset: int
    """0 for what is no ONNX model."""
    inputs: tuple[SourceInput, ...]
    notices: tuple[str, ...]
    values: Mapping[str, Array] = field(default_factory=dict)
    """Inputs of the original that are constants of the converted model."""
    format: str = ONNX
    """onnx, tflite or pt2."""
    inherited: Inherited = field(default_factory=Inherited)
    tools: Mapping[str, str] = field(default_factory=dict)
    """By name, the versions of other converters that took part."""
    computes_in_half: bool = False
    """Whether the original computes in float16, where what is made of it computes in float32."""


def format_of(path: Path) -> str:
    """The format of a model file by its content: tflite, pt2 (any zip), or else onnx.

    Raises SourceError for what is missing, empty, a folder or unreadable.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except FileNotFoundError:
        raise SourceError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise SourceError(f"{path}: this is a folder, expected a model file") from None
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error
    if not head:
        raise SourceError(f"{path}: the file is empty, expected a model")
    if head[4:8] == b"TFL3":
        return TFLITE
    return TORCH if head.startswith(_ZIP) else ONNX


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal. Raises SourceError."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_READ_BLOCK):
                digest.update(block)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error
    return digest.hexdigest()
