"""From a path to an opened model: its digest, its probe, its runtime."""

import logging
import os
import string
from dataclasses import dataclass
from pathlib import Path

from edgewise.backends.options import RuntimeOptions
from edgewise.backends.selection import open_backend
from edgewise.child_limits import DOUBT, ChildLimits
from edgewise.delegate import Delegate
from edgewise.errors import (
    BackendUnavailable,
    DelegateUnavailable,
    EdgewiseError,
    InvalidInput,
    ModelCrashed,
    ModelFileError,
)
from edgewise.model_file import ModelFile, read_model, sha256_of
from edgewise.opened import OpenedModel
from edgewise.tensors import TensorSpec
from edgewise.threads import ThreadBudget, ThreadShare, default_threads, share_of

_DIGEST_DIGITS = 64

_log = logging.getLogger("edgewise.delegates")


@dataclass(frozen=True)
class Opening:
    """How files are opened, the first one and those it is swapped for."""

    backend: str | None = None
    threads: int | ThreadBudget | ThreadShare | None = None
    delegate: Delegate | None = None
    fallback: bool = True
    """Whether the processor does the work of a delegate that cannot be used."""
    weight_cache: Path | None = None

    def __post_init__(self) -> None:
        if isinstance(self.threads, int) and self.threads < 1:
            raise InvalidInput(f"threads: got {self.threads}, expected at least 1")
        if self.delegate and self.weight_cache:
            raise InvalidInput(
                "weight_cache: got a delegate too, expected one of them: the cache is XNNPACK's"
            )

    def open(
        self, path: str | os.PathLike[str], *, sha256: str | None, probe: bool | ChildLimits | None
    ) -> OpenedModel:
        """See `load`. Raises ModelFileError when the file is replaced while it is looked at."""
        path = Path(path)
        before = _identity(path)
        if sha256 is not None:
            _check_digest(path, sha256)
        file = read_model(path)
        opened = self._open(file, probe)
        if _identity(path) != before:
            opened.close()
            raise ModelFileError(f"{path}: it was changed while it was being loaded; load it again")
        return opened

    def _open(self, file: ModelFile, probe: bool | ChildLimits | None) -> OpenedModel:
        if self.delegate is None:
            return self._open_with(None, file, probe or False)
        try:
            opened = self._open_with(self.delegate, file, True if probe is None else probe)
        except (BackendUnavailable, ModelCrashed, ModelFileError) as error:
            reason = f"delegate '{self.delegate.name}': {_said_of_delegate(error, file.path)}"
            if not self.fallback:
                raise DelegateUnavailable(f"{file.path}: {reason}") from error
            # What crashed may have been the file.
            is_doubtful = isinstance(error, ModelCrashed) and probe is None
            return self._open_without(file, is_doubtful or probe or False, reason)
        if opened.delegate_parts == 0:
            _log.warning(
                "%s: delegate '%s' took none of its operators, the processor runs them all: is the file made for it?",
                file.path,
                self.delegate.name,
            )
        return opened

    def _open_without(self, file: ModelFile, probe: bool | ChildLimits, reason: str) -> OpenedModel:
        """On the processor, with a warning; what is wrong with the file itself is an error all the same."""
        try:
            opened = self._open_with(None, file, probe)
        except BackendUnavailable as error:
            raise DelegateUnavailable(f"{error}; and {reason}") from error
        opened.fallback = reason
        _log.warning("%s: %s; the processor does its work", file.path, reason)
        return opened

    def _open_with(
        self, delegate: Delegate | None, file: ModelFile, probe: bool | ChildLimits
    ) -> OpenedModel:
        share = share_of(self.threads)
        threads = (
            self.threads if isinstance(self.threads, int) else share.threads if share else default_threads()
        )
        options = RuntimeOptions(delegate, self.weight_cache, is_sharing_cores=share is not None)
        backend = self.backend
        if probe:
            from edgewise.probe import probe_model

            limits = probe if isinstance(probe, ChildLimits) else ChildLimits()
            backend = probe_model(file, backend=backend, threads=threads, options=options, limits=limits)
        opened = open_backend(file.path, file.format, name=backend, threads=threads, options=options)
        try:
            name = delegate.name if delegate else ""
            return OpenedModel(file, opened, delegate=name, share=share, threads=threads)
        except EdgewiseError:
            opened.close()
            raise


def _said_of_delegate(error: EdgewiseError, path: Path) -> str:
    """What failed, without the advice about the file: that it is not to blame, the processor will show."""
    said = str(error).removeprefix(f"{path}: ").removeprefix("probe: ")
    if isinstance(error, DelegateUnavailable):
        return said
    return (
        f"{said.partition('; ')[0].removesuffix(DOUBT)}; use one that is made for this runtime and this file"
    )


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
