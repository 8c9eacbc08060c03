"""Engines on the disk: each release in a virtual environment of its own, with a manifest that says it is whole.

The manifest is written last and renamed into place: an environment without one was never finished, is used by nobody,
and is continued by the next installation (pip skips what is there already).
"""

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from edgewise_converters.engines.catalogue import Engine, Release
from edgewise_converters.engines.limited_process import ended_by_signal, last_words
from edgewise_converters.engines.pythons import find_python
from edgewise_converters.errors import EngineError

_MANIFEST = "engine.json"
_ENVIRONMENT_MADE = "environment-made"
_MARGIN = 1.5
"""Downloads lie on the disk beside what is installed from them."""
_MB = 1_000_000


@dataclass(frozen=True)
class Installed:
    """One engine that is ready."""

    name: str
    version: str
    python_version: str
    folder: Path

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return self.folder / "environment" / "bin" / "python"


@dataclass(frozen=True)
class Choice:
    """What an installation would do."""

    engine: Engine
    release: Release
    python: Path
    python_version: str


def home() -> Path:
    """Where engines live: $EDGEWISE_HOME/engines, else $XDG_DATA_HOME/edgewise/engines, else under ~/.local/share."""
    if own := os.environ.get("EDGEWISE_HOME"):
        return Path(own).expanduser() / "engines"
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "edgewise" / "engines"


def choose(engine: Engine) -> Choice:
    """The newest release that a Python on this computer can run. Raises EngineError."""
    for release in engine.releases:
        for version in release.pythons:
            python = find_python(version)
            if python is not None:
                return Choice(engine, release, python, version)
    wanted = sorted({version for release in engine.releases for version in release.pythons})
    raise EngineError(
        f"{engine.name}: found no Python {', '.join(wanted)} on PATH or in pyenv, expected one of them with the venv "
        "module; install it (Debian: python3-venv) and try again"
    )


def installed(engine: Engine) -> Installed | None:
    """The newest installed release of an engine, if any is whole."""
    for release in engine.releases:
        folder = home() / f"{engine.name}-{release.version}"
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
            found = Installed(manifest["name"], manifest["version"], manifest["python_version"], folder)
            if found.python.exists():
                return found
    return None


def install(choice: Choice, say: Callable[[str], None], *, index: Sequence[str] = ()) -> Installed:
    """Make the environment, or finish one that was begun. ``say`` hears what is being done; ``index`` goes to pip.

    Raises EngineError. An interruption leaves no manifest, so nothing that would be taken for an engine.
    """
    folder = home() / f"{choice.engine.name}-{choice.release.version}"
    _check_space(folder, choice.release)
    with _locked(folder):
        present = installed(choice.engine)
        if present is not None and present.folder == folder:
            return present
        made = Installed(choice.engine.name, choice.release.version, choice.python_version, folder)
        whole = folder / _ENVIRONMENT_MADE  # without it the environment may have a python and no pip yet
        if not whole.exists():
            say(f"Making an environment of Python {choice.python_version}")
            _run(
                [choice.python, "-m", "venv", "--clear", folder / "environment"],
                say,
                "making its environment",
            )
            whole.touch()
        pip: list[str | Path] = [
            made.python,
            "-m",
            "pip",
            "--disable-pip-version-check",
            "install",
            "--progress-bar",
            "off",
        ]
        _run([*pip, *index, choice.release.requirement(choice.engine.package)], say, "installing it")
        _write_manifest(made)
    return made


def remove(engine: Engine) -> int:
    """Delete every release of an engine, finished or not; how many there were."""
    folders = [home() / f"{engine.name}-{release.version}" for release in engine.releases]
    found = [folder for folder in folders if folder.exists()]
    for folder in found:
        with _locked(folder):
            (folder / _MANIFEST).unlink(missing_ok=True)  # first: from here on nobody takes it for whole
            shutil.rmtree(folder, ignore_errors=True)
        folder.with_name(f".{folder.name}.lock").unlink(missing_ok=True)
        if folder.exists():
            raise EngineError(f"{folder}: cannot be deleted altogether; delete it yourself")
    return len(found)


def _write_manifest(made: Installed) -> None:
    partial = made.folder / f".{_MANIFEST}.partial"
    facts = {name: value for name, value in asdict(made).items() if name != "folder"}
    partial.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    partial.replace(made.folder / _MANIFEST)


def _check_space(folder: Path, release: Release) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder.parent).free
    except OSError as error:
        raise EngineError(
            f"{folder.parent}: cannot be written to: {error.strerror}; set EDGEWISE_HOME"
        ) from error
    needed = release.size_mb * _MARGIN * _MB
    if free < needed:
        raise EngineError(
            f"{folder.parent}: {free / _MB:.0f} MB are free, {needed / _MB:.0f} MB are needed; make room, or set "
            "EDGEWISE_HOME to another disk"
        )


def _run(words: Sequence[str | Path], say: Callable[[str], None], doing: str) -> None:
    """Run a command, tell its lines, and end it when we are interrupted."""
    lines: list[str] = []
    # Variables that would send it to another environment's packages.
    variables = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    with subprocess.Popen(
        [str(word) for word in words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=variables,
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line)
                if line.startswith(("Collecting ", "Downloading ", "Installing ")):
                    say(line.split("(from")[0].strip()[:70])
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        how = ended_by_signal(process.returncode)
        raise EngineError(
            f"{doing} failed{how}: {last_words(''.join(lines))}; what was fetched is kept: try again"
        )


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One installation of an engine at a time."""
    with folder.with_name(f".{folder.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
