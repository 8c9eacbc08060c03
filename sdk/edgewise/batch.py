"""Many inputs through one model: pictures and recordings to answers, other .npy and .npz files to tensors."""

import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image

from edgewise.atomic_file import write_bytes
from edgewise.errors import CardError, EdgewiseError, InvalidInput
from edgewise.model import Model
from edgewise.model_card import ANOMALY_DETECTION, AUDIO_CLASSIFICATION, TIME_SERIES_CLASSIFICATION
from edgewise.tasks.base import Answer, Drawable
from edgewise.tasks.tensors import tensors_of
from edgewise.tasks.text.reader import TextReader
from edgewise.tensors import Array

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
)
SERIES_TASKS = (TIME_SERIES_CLASSIFICATION, ANOMALY_DETECTION, AUDIO_CLASSIFICATION)
"""A .npy file is a recording for them."""
TENSOR_SUFFIXES = frozenset({".npy", ".npz"})


@dataclass(frozen=True)
class Result:
    """What one input gave: an answer, or the reason why there is none."""

    source: Path
    answer: Answer | None = None
    error: str = ""

    def to_dict(self) -> dict[str, Any]:
        """For JSON; outputs are real numbers, NaN and infinities null."""
        if self.error:
            return {"input": str(self.source), "error": self.error}
        return {"input": str(self.source), **(self.answer.to_dict() if self.answer else {})}

    def __str__(self) -> str:
        if self.error:
            return f"{self.source}: {self.error}"
        if self.answer is None:
            return str(self.source)
        lines = (f"  {line}" for line in self.answer.lines())
        return "\n".join((f"{self.source}  ({self.answer.timings.total_ms:.1f} ms)", *lines))


def run_inputs(model: Model, sources: Sequence[Path], *, top: int | None = None) -> Iterator[Result]:
    """One result for each input, in order; a folder means the pictures in and below it.

    What is wrong with one input is its result. Raises CardError when the model cannot predict at all.
    """
    return _each(sources, lambda source: _predicted(model, source, top))


def read_pages(reader: TextReader, sources: Sequence[Path]) -> Iterator[Result]:
    """The text of each picture, as `run_inputs` answers. Raises CardError when the models are none for text."""
    return _each(sources, reader.read)


def _each(sources: Sequence[Path], answer: Callable[[Path], Answer]) -> Iterator[Result]:
    for source in sources:
        if not source.is_dir():
            yield _answered(source, answer)
            continue
        pictures = _pictures_in(source)
        if not pictures:
            yield Result(source, error=f"{source}: no pictures in this folder")
        for picture in pictures:
            yield _answered(picture, answer)


def check_drawing(path: Path, taken: Sequence[Path]) -> None:
    """Raise InvalidInput for a place where no picture can be written, or that is one of the files the work reads."""
    if Image.registered_extensions().get(path.suffix.lower()) not in Image.SAVE:
        raise InvalidInput(
            f"{path}: cannot write the picture: unknown file extension: {path.suffix or 'none'}"
        )
    if not path.parent.is_dir():
        raise InvalidInput(f"{path}: cannot write the picture: the folder {path.parent} does not exist")
    if path.exists() and any(other.exists() and path.samefile(other) for other in taken):
        raise InvalidInput(
            f"{path}: this is a file that is read here, which is never overwritten; give another name"
        )


def draw_answer(result: Result, path: Path) -> None:
    """Save the result's picture with its answer on it. Raises InvalidInput when there is nothing to draw."""
    if not hasattr(result.answer, "draw"):
        raise InvalidInput(f"{result.source}: its answer is not one that can be drawn on a picture")
    picture = cast(Drawable, result.answer).draw(result.source)
    written = io.BytesIO()
    try:
        picture.save(written, Image.registered_extensions()[path.suffix.lower()])
        write_bytes(path, [written.getbuffer()])
    except (OSError, ValueError) as error:  # Pillow's ValueError: a format that cannot hold this picture
        reason = getattr(error, "strerror", None) or error
        raise InvalidInput(f"{path}: cannot write the picture: {reason}") from error


def _pictures_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)


def _answered(source: Path, answer: Callable[[Path], Answer]) -> Result:
    try:
        return Result(source, answer=answer(source))
    except CardError:
        raise
    except EdgewiseError as error:
        message = str(error)
        return Result(source, error=message if str(source) in message else f"{source}: {message}")


def _predicted(model: Model, source: Path, top: int | None) -> Answer:
    if source.suffix.lower() in TENSOR_SUFFIXES:
        return _of_arrays(model, read_tensors(source))
    answer: Answer = model.predict(source, top=top)
    return answer


def _of_arrays(model: Model, given: dict[str, Array] | Array) -> Answer:
    """What is made of measurements is predicted; arrays for other tasks are tensors that are ready."""
    if model.task in SERIES_TASKS and isinstance(given, np.ndarray):
        answer: Answer = model.predict(given)
        return answer
    return tensors_of(model, given)


def read_tensors(path: Path) -> dict[str, Array] | Array:
    """The arrays of a .npz file by name, or the one of a .npy file. Raises InvalidInput."""
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except FileNotFoundError as error:
        raise InvalidInput(f"{path}: no such file") from error
    except (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        raise InvalidInput(f"{path}: cannot read arrays from it: {error}") from error
