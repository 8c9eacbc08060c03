"""Many inputs through one model: pictures to answers, .npy and .npz files to tensors."""

import math
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from edgewise.errors import CardError, EdgewiseError, InvalidInput
from edgewise.model import Model
from edgewise.tasks.base import Answer, Drawable
from edgewise.tensors import Array

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
)
TENSOR_SUFFIXES = frozenset({".npy", ".npz"})


@dataclass(frozen=True)
class Result:
    """What one input gave: an answer, or the reason why there is none."""

    source: Path
    answer: Answer | None = None
    outputs: dict[str, Array] | None = None
    error: str = ""

    def to_dict(self) -> dict[str, Any]:
        """For JSON; outputs are real numbers, NaN and infinities null."""
        if self.error:
            return {"input": str(self.source), "error": self.error}
        if self.answer is not None:
            return {"input": str(self.source), **self.answer.to_dict()}
        outputs = {name: _for_json(array) for name, array in (self.outputs or {}).items()}
        return {"input": str(self.source), "outputs": outputs}

    def __str__(self) -> str:
        if self.error:
            return f"{self.source}: {self.error}"
        if self.answer is not None:
            lines = (f"  {line}" for line in self.answer.lines())
            return "\n".join((f"{self.source}  ({self.answer.timings.total_ms:.1f} ms)", *lines))
        outputs = (self.outputs or {}).items()
        return "\n".join((str(self.source), *(_describe(name, array) for name, array in outputs)))


def run_inputs(model: Model, sources: Sequence[Path], *, top: int | None = None) -> Iterator[Result]:
    """One result for each input, in order; a folder means the pictures in and below it.

    What is wrong with one input is its result. Raises CardError when the model cannot predict at all.
    """
    for source in sources:
        if not source.is_dir():
            yield _run_one(model, source, top)
            continue
        pictures = _pictures_in(source)
        if not pictures:
            yield Result(source, error=f"{source}: no pictures in this folder")
        for picture in pictures:
            yield _run_one(model, picture, top)


def draw_answer(result: Result, path: Path) -> None:
    """Save the result's picture with its answer on it. Raises InvalidInput when there is nothing to draw."""
    if not hasattr(result.answer, "draw"):
        raise InvalidInput(f"{result.source}: its answer is not one that can be drawn on a picture")
    picture = cast(Drawable, result.answer).draw(result.source)
    try:
        picture.save(path)
    except (OSError, ValueError) as error:  # Pillow's ValueError: no format of this suffix
        reason = getattr(error, "strerror", None) or error
        raise InvalidInput(f"{path}: cannot write the picture: {reason}") from error


def _pictures_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)


def _run_one(model: Model, source: Path, top: int | None) -> Result:
    try:
        if source.suffix.lower() in TENSOR_SUFFIXES:
            outputs = model.run(read_tensors(source))
            real = {spec.name: spec.dequantized(outputs[spec.name]) for spec in model.outputs}
            return Result(source, outputs=real)
        return Result(source, answer=model.predict(source, top=top))
    except CardError:
        raise
    except EdgewiseError as error:
        message = str(error)
        return Result(source, error=message if str(source) in message else f"{source}: {message}")


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


def _for_json(array: Array) -> dict[str, Any]:
    values = [
        None if isinstance(value, float) and not math.isfinite(value) else value
        for value in array.ravel().tolist()
    ]
    return {"shape": list(array.shape), "dtype": array.dtype.name, "values": values}


def _describe(name: str, array: Array) -> str:
    shape = " x ".join(map(str, array.shape)) or "scalar"
    if array.size == 0:
        return f"  {name}  {array.dtype} {shape}"
    first = ", ".join(f"{value:.6g}" for value in array.ravel()[:4])
    more = ", ..." if array.size > 4 else ""
    low, high = float(array.min()), float(array.max())
    return f"  {name}  {array.dtype} {shape}, {low:.6g} to {high:.6g}: {first}{more}"
