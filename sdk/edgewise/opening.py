"""From a path to an opened model: its digest, its probe, its runtime."""

import os
import string
from dataclasses import dataclass
from pathlib import Path

from edgewise.backends.selection import open_backend
from edgewise.child_process import ChildLimits
from edgewise.errors import EdgewiseError, InvalidInput, ModelFileError
from edgewise.model_file import read_model, sha256_of
from edgewise.opened import OpenedModel
from edgewise.tensors import TensorSpec

MAX_THREADS = 4
"""More do not pay on any Raspberry Pi: four threads already give only about twice one."""
_DIGEST_DIGITS = 64


def default_threads() -> int:
    """How many threads a model gets when nobody says: the cores, at most 4."""
    return min(MAX_THREADS, os.cpu_count() or 1)


@dataclass(frozen=True)
class Opening:
    """How files are opened, the first one and those it is swapped for."""

    backend: str | None
    threads: int | None

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise InvalidInput(f"threads: got {self.threads}, expected at least 1")

    def open(
        self, path: str | os.PathLike[str], *, sha256: str | None, probe: bool | ChildLimits
    ) -> OpenedModel:
        """See `load` in model.py. Raises ModelFileError when the file is replaced while it is looked at."""
        path = Path(path)
        before = _identity(path)
        if sha256 is not None:
            _check_digest(path, sha256)
        file = read_model(path)
        threads = self.threads or default_threads()
        backend = self.backend
        if probe:
            from edgewise.probe import probe_model

            limits = probe if isinstance(probe, ChildLimits) else ChildLimits()
            backend = probe_model(file, backend=backend, threads=threads, limits=limits)
        opened = open_backend(file.path, file.format, name=backend, threads=threads)
        try:
            if _identity(path) != before:
                raise ModelFileError(f"{path}: it was changed while it was being loaded; load it again")
            return OpenedModel(file, opened)
        except EdgewiseError:
            opened.close()
            raise


def _identity(path: Path) -> tuple[int, ...]:
    """Which file this is; what is wrong with one that is not there, reading it says."""
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _check_digest(path: Path, expected: str) -> None:
    if len(expected) != _DIGEST_DIGITS or not set(expected) <= set(string.hexdigits):
        raise InvalidInput(f"sha256: got {expected!r:.80}, expected {_DIGEST_DIGITS} hexadecimal digits")
    digest = sha256_of(path)
    if digest != expected.lower():
        raise ModelFileError(
            f"{path}: its SHA-256 is {digest}, expected {expected.lower()}: another file, or a damaged one; "
            "get it again"
        )


def require_exchangeable(new: OpenedModel, old: OpenedModel, *, same_signature: bool) -> None:
    """Raise ModelFileError when ``new`` cannot take the place of ``old`` in an app."""
    tasks = new.file.task, old.file.task
    if all(tasks) and tasks[0] != tasks[1]:
        raise ModelFileError(f"{new.file.path}: its task is '{tasks[0]}', expected '{tasks[1]}'")
    if not same_signature:
        return
    for what, got, expected in (("input", new.inputs, old.inputs), ("output", new.outputs, old.outputs)):
        if _signature(got) != _signature(expected):
            raise ModelFileError(
                f"{new.file.path}: its {what}s are {_in_words(got)}, expected {_in_words(expected)}; "
                "swap(compatible=False) takes it all the same"
            )


def _signature(specs: tuple[TensorSpec, ...]) -> list[tuple[str, tuple[int, ...], str]]:
    return [(spec.name, spec.shape, spec.dtype) for spec in specs]


def _in_words(specs: tuple[TensorSpec, ...]) -> str:
    return ", ".join(f"'{spec.name}' {spec.dtype}{list(spec.shape)}" for spec in specs)
