"""Virtual environments for tools that must not live in the project's own: one per tool, made once."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from model_sources.wheels import SourceError, cache_folder

STAMP = "edgewise-requirements"


def environment(name: str, requirements: Sequence[str], *, python: str = sys.executable) -> Path:
    """The python of an environment that holds exactly `requirements` (and what they need).

    An environment whose requirements or Python have changed, or which was never finished, is made anew. Two
    processes that ask at once wait for each other.
    """
    folder = cache_folder() / "venvs" / name
    wanted = hashlib.sha256("\n".join([*requirements, _version(python)]).encode()).hexdigest()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _lock(folder.with_name(f".{name}.lock")):
        stamp = folder / STAMP
        if not (stamp.exists() and stamp.read_text() == wanted):
            _make(folder, requirements, python)
            stamp.write_text(wanted)
    return folder / "bin" / "python"


def find_python(*versions: str) -> str | None:
    """The first of these Python versions ("3.13", "3.12") that is installed and can make environments."""
    for version in versions:
        for found in _pythons(version):
            if _runs(found, version):
                return found
    return None


def _pythons(version: str) -> list[str]:
    on_path = shutil.which(f"python{version}")
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    kept = sorted(pyenv.glob(f"{version}.*/bin/python{version}"))
    return ([on_path] if on_path else []) + [str(path) for path in kept]


def _runs(python: str, version: str) -> bool:
    # A pyenv shim is on PATH for every version ever installed, and most of them refuse to run.
    check = f"import ensurepip, sys; sys.exit('%d.%d' % sys.version_info[:2] != '{version}')"
    return subprocess.run([python, "-c", check], capture_output=True, check=False).returncode == 0


def _version(python: str) -> str:
    done = subprocess.run([python, "-V"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _make(folder: Path, requirements: Sequence[str], python: str) -> None:
    print(f"Making an environment for {folder.name}: {' '.join(requirements)} ...", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    for command in ([python, "-m", "venv", str(folder)], [*pip, *requirements]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            shutil.rmtree(folder, ignore_errors=True)
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1].removeprefix("ERROR: ")
            raise SourceError(f"{folder.name}: cannot install {' '.join(requirements)}: {reason}")


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
