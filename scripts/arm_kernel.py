"""The SDK's resize in C, compiled on an emulated board by Debian's gcc and for Debian's Python, as setup.py does it."""

import ast
import hashlib
import os
import subprocess
from pathlib import Path

from model_sources.wheels import SourceError, cache_folder, make_once

REPOSITORY = Path(__file__).resolve().parents[1]
SOURCE = REPOSITORY / "sdk" / "edgewise" / "preprocess" / "_resize.c"
MODULE = "_resize.abi3.so"
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
    raise SourceError("setup.py: got no extra_compile_args, expected the flags of the resize in C")


def compiled_resize(architecture: str) -> Path:
    """The module for ``arm64`` or ``armhf``; made once for each state of its source. Raises SourceError."""
    words = " ".join([architecture, PACKAGES, *flags()])
    digest = hashlib.sha256(words.encode() + b"\0" + SOURCE.read_bytes()).hexdigest()[:16]
    module = cache_folder() / "arm" / "kernels" / f"{architecture}-{digest}" / MODULE
    if not module.exists():
        make_once(module.parent, lambda folder: _compile(architecture, folder))
    return module


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
    shown = {"PATH": os.environ["PATH"], "ARM_BIND": f"{SOURCE.parent} {folder}"}
    _run([scripts / "run", root, CPUS[architecture], *words, SOURCE, "-o", folder / MODULE], shown)


def _run(words: list[str | Path], variables: dict[str, str]) -> None:
    done = subprocess.run(
        [str(word) for word in words], env=variables, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SourceError(f"compiling {SOURCE.name} for a board failed: {done.stderr.strip()[-1500:]}")
