"""Where XNNPACK keeps a model's packed weights: a file for each state of each model file.

XNNPACK (ai-edge-litert 2.3) takes whatever cache it is given: with that of another network of the same structure it
answers as that other network would. So a cache's name says which file it was made of, and by what, and a new one gets
its name when it is complete.
"""

import hashlib
import os
import time
from pathlib import Path
from uuid import uuid4

from edgewise.errors import BackendUnavailable, InvalidInput

_SUFFIX, _PARTIAL = ".xnnpack", ".partial"
_ABANDONED_S = 3600.0
"""A partial file of this age is one whose process has died."""
_CPU_LINES = ("model name", "CPU part", "Features", "flags")
"""Of /proc/cpuinfo: kernels, and with them the packing, depend on them."""


class WeightCache:
    """The cache of one model file, to be opened with `path` and then `keep`."""

    def __init__(self, folder: Path, model: Path, *, runtime: str, threads: int | None) -> None:
        """``runtime`` says which build it is. Raises InvalidInput for a folder that cannot be written."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInput(
                f"weight_cache: {folder}: {error.strerror}; give a folder that can be written"
            ) from error
        if not os.access(folder, os.W_OK | os.X_OK):
            raise InvalidInput(f"weight_cache: {folder}: may not be written; give a folder that can be")
        whole = model.resolve()
        status = whole.stat()
        state = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        self._family = f"{model.stem}-{_digest(str(whole))[:8]}-"
        self._final = (
            folder / f"{self._family}{_digest(repr((state, runtime, threads, _cpu())))[:16]}{_SUFFIX}"
        )
        self._partial = self._final.with_suffix(f".{uuid4().hex}{_PARTIAL}")
        self.is_new = not self._final.exists()

    @property
    def path(self) -> Path:
        """What to give to XNNPACK: the cache, or where it is to be made."""
        return self._partial if self.is_new else self._final

    def keep(self) -> None:
        """It has been made: give it its name, and remove those of earlier states of the model file.

        Raises BackendUnavailable when XNNPACK has made none.
        """
        if not self.is_new:
            return
        try:
            with self._partial.open("rb") as file:
                os.fsync(file.fileno())
            self._partial.replace(self._final)
        except FileNotFoundError as error:
            raise BackendUnavailable(
                "litert: XNNPACK has no weights of this file to keep; load it without weight_cache"
            ) from error
        except OSError as error:
            raise BackendUnavailable(f"litert: weight_cache: {self._final}: {error.strerror}") from error
        for other in self._final.parent.glob(f"{self._family}*"):
            is_stale = other.suffix == _SUFFIX and other != self._final
            if is_stale or (other.suffix == _PARTIAL and _age_s(other) > _ABANDONED_S):
                other.unlink(missing_ok=True)  # whoever has it open goes on with it

    def drop(self) -> None:
        """What was to be made was not."""
        if self.is_new:
            self._partial.unlink(missing_ok=True)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:  # it has just got its name
        return 0.0


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(sorted({line for line in lines if line.startswith(_CPU_LINES)}))
