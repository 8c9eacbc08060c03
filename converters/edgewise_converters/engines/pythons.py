"""The Python versions on this computer that can make environments."""

import os
import shutil
import subprocess
from pathlib import Path

_PATIENCE_S = 30.0


def find_python(*versions: str) -> Path | None:
    """The first of these versions ("3.13", "3.12") that is found on PATH or among pyenv's, and runs."""
    for version in versions:
        for path in _candidates(version):
            if _runs(path, version):
                return path
    return None


def _candidates(version: str) -> list[Path]:
    on_path = shutil.which(f"python{version}")
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    kept = sorted(pyenv.glob(f"{version}.*/bin/python{version}"), reverse=True)
    return [*([Path(on_path)] if on_path else []), *kept]


def _runs(python: Path, version: str) -> bool:
    """Whether it is that version and can make environments: a shim of pyenv may be on PATH and refuse to run."""
    check = f"import ensurepip, sys, venv; sys.exit('%d.%d' % sys.version_info[:2] != '{version}')"
    try:
        done = subprocess.run(
            [python, "-c", check],
            capture_output=True,
            check=False,
            timeout=_PATIENCE_S,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
