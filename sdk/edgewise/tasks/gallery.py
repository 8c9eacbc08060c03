"""Embeddings that are known by name, and a search among them."""

import io
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgewise import atomic_file
from edgewise.errors import InvalidInput, ShapeMismatch
from edgewise.tasks.embedding import Embedding, unit
from edgewise.tensors import Array, FloatArray

_FORMAT = 1


@dataclass(frozen=True)
class Match:
    """One known embedding, and how alike it is."""

    name: str
    score: float
    """Cosine, -1 to 1."""


class Gallery:
    """Named embeddings of one model, compared by cosine. A name may have several embeddings.

    Every one is compared, which for ten thousand of 128 numbers is one matrix product of a millisecond or so.
    """

    def __init__(self) -> None:
        self._names: list[str] = []
        self._rows: list[FloatArray] = []
        self._matrix: FloatArray | None = None

    def __len__(self) -> int:
        """How many embeddings."""
        return len(self._names)

    @property
    def names(self) -> tuple[str, ...]:
        """Of every embedding, in the order they were added."""
        return tuple(self._names)

    def add(self, name: str, embedding: Embedding | Array) -> None:
        """Remember an embedding, or a vector [d] of any length but 0. Raises ShapeMismatch, InvalidInput."""
        vector = self._vector(embedding)
        self._names.append(name)
        self._rows.append(vector)
        self._matrix = None

    def remove(self, name: str) -> int:
        """Forget every embedding of this name; how many there were. Raises InvalidInput for an unknown name."""
        kept = [place for place, known in enumerate(self._names) if known != name]
        removed = len(self._names) - len(kept)
        if removed == 0:
            raise InvalidInput(
                f"gallery: got the name {name!r}, expected one of the {len(self)} that are in it"
            )
        self._names = [self._names[place] for place in kept]
        self._rows = [self._rows[place] for place in kept]
        self._matrix = None
        return removed

    def search(
        self, embedding: Embedding | Array, *, top: int = 5, min_score: float = -1.0
    ) -> tuple[Match, ...]:
        """The ``top`` most alike of at least ``min_score``, best first; among equals the one added first.

        Raises ShapeMismatch, InvalidInput.
        """
        if top < 1:
            raise InvalidInput(f"gallery: top: got {top}, expected at least 1")
        vector = self._vector(embedding)
        if not self._rows:
            return ()
        if self._matrix is None:
            self._matrix = np.stack(self._rows)
        scores = np.clip(self._matrix @ vector, -1, 1)
        best = np.argsort(-scores, kind="stable")[:top]
        return tuple(Match(self._names[i], float(scores[i])) for i in best if scores[i] >= min_score)

    def _vector(self, embedding: Embedding | Array) -> FloatArray:
        vector = unit(embedding.vector if isinstance(embedding, Embedding) else embedding, "gallery")
        if self._rows and vector.shape != self._rows[0].shape:
            raise ShapeMismatch(
                f"gallery: got {len(vector)} numbers, expected {len(self._rows[0])}; "
                "embeddings of two models cannot be compared"
            )
        return vector

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a .npz file, whole or not at all. Raises InvalidInput when it cannot be written."""
        stream = io.BytesIO()
        matrix = np.stack(self._rows) if self._rows else np.zeros((0, 0), np.float32)
        np.savez(stream, format=_FORMAT, names=np.array(self._names, dtype=np.str_), vectors=matrix)
        try:
            atomic_file.write_bytes(Path(path), [stream.getvalue()])
        except OSError as error:
            raise InvalidInput(f"{path}: cannot write: {error.strerror or error}") from error

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Gallery":
        """The gallery that `save` wrote. Raises InvalidInput for a file that is none."""
        try:
            with Path(path).open("rb") as stream, np.load(stream, allow_pickle=False) as file:
                version, names, vectors = int(file["format"]), file["names"], file["vectors"]
        except FileNotFoundError as error:
            raise InvalidInput(f"{path}: no such file") from error
        except (
            OSError,
            ValueError,
            TypeError,
            KeyError,
            EOFError,
            AttributeError,
            zipfile.BadZipFile,
        ) as error:
            raise InvalidInput(f"{path}: not a gallery that Gallery.save wrote: {error}") from error
        if (
            version != _FORMAT
            or vectors.ndim != 2
            or names.shape != vectors.shape[:1]
            or names.dtype.kind != "U"
        ):
            raise InvalidInput(
                f"{path}: got format {version}, names {names.shape} and vectors {vectors.shape}, expected format "
                f"{_FORMAT} and one name for each vector"
            )
        gallery = cls()
        for name, vector in zip(names.tolist(), vectors, strict=True):
            gallery.add(name, vector)
        return gallery
