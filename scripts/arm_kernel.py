"""The SDK's code in C, compiled on an emulated board by Debian's gcc and for Debian's Python, as setup.py does it."""

import ast
import hashlib
import os
import subprocess
from pathlib import Path

from model_sources.wheels import SourceError, cache_folder, make_once

REPOSITORY = Path(__file__).resolve().parents[1]
FOLDER = REPOSITORY / "sdk" / "edgewise" / "preprocess"
SOURCES = [FOLDER / "_resize.c", FOLDER / "jpeg" / "_jpeg.c"]
HEADERS = sorted(FOLDER.rglob("*.h"))
PACKAGES = "gcc libc6-dev libpython3-dev"
RELEASE, INCLUDE = "bookworm", "/usr/include/python3.11"
"""The limited API of its Python 3.11 is that of all later ones, and its C library is the oldest meant here."""
CPUS = {"arm64": "cortex-a72", "armhf": "cortex-a7"}


def flags() -> list[str]:
    """What setup.py has the compiler do."""
    for node in ast.walk(ast.parse((REPOSITORY / "setup.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.keyword) and node.arg == "extra_compile_args":
            found: list[str] = ast.literal_eval(node.value)
            return found
    raise SourceError("setup.py: got no extra_compile_args, expected the flags of the code in C")


def compiled_kernels(architecture: str) -> dict[Path, Path]:
    """The modules for ``arm64`` or ``armhf``, by where they go in ``edgewise/preprocess``.

    Made once for each state of their sources. Raises SourceError.
    """
    words = " ".join([architecture, PACKAGES, *flags()])
    sources = b"\0".join(source.read_bytes() for source in [*SOURCES, *HEADERS])
    digest = hashlib.sha256(words.encode() + b"\0" + sources).hexdigest()[:16]
    made = cache_folder() / "arm" / "kernels" / f"{architecture}-{digest}"
    if not made.exists():
        make_once(made, lambda folder: _compile(architecture, folder))
    return {
        source.relative_to(FOLDER).with_name(_module(source)): made / _module(source) for source in SOURCES
    }


def _module(source: Path) -> str:
    return f"{source.stem}.abi3.so"


def _compile(architecture: str, folder: Path) -> None:
    scripts = REPOSITORY / "scripts" / "arm"
    root = cache_folder() / "arm" / "roots" / f"{architecture}-{RELEASE}-gcc"
    debs = cache_folder() / "arm" / "debs"
    _run(
        [scripts / "make-root", architecture, RELEASE, root],
        {**os.environ, "ARM_ROOT_PKGS": PACKAGES, "ARM_ROOT_CACHE": str(debs)},
    )
    folder.mkdir()
    words = ["gcc", *flags(), "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", f"-I{INCLUDE}"]
    shown = {"PATH": os.environ["PATH"], "ARM_BIND": f"{FOLDER} {folder}"}
    for source in SOURCES:
        to = folder / _module(source)
        _run([scripts / "run", root, CPUS[architecture], *words, source, "-o", to], shown)


def _run(words: list[str | Path], variables: dict[str, str]) -> None:
    done = subprocess.run(
        [str(word) for word in words], env=variables, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SourceError(f"compiling for a board failed: {done.stderr.strip()[-1500:]}")
