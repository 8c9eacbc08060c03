"""What `pip install 'edgewise[agent]'` adds on an emulated board; what has no wheel for it is built on it, with gcc."""

import configparser
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from packaging.requirements import Requirement

from arm_userland import ARM_SCRIPTS, REPOSITORY, Board, kept_packages
from model_sources.wheels import SourceError, cache_folder, make_once

COMPILER_PACKAGES = "gcc libc6-dev libpython3-dev libffi-dev"
WITHOUT_WHEEL = {"armv7l": ("msgspec>=0.19", "cffi>=2")}
"""On the Python Package Index, by machine; piwheels.org, where the pip of Raspberry Pi OS also looks, is not asked."""
CERTIFICATES = ("PIP_CERT", "SSL_CERT_FILE")
"""Where this machine says whom pip is to trust."""


def agent_packages(board: Board) -> Path:
    """A folder with all of it, dependencies included; kept. Raises SourceError when that is impossible."""
    words = [f"{wanted.name}{wanted.specifier}" for wanted in agent_requirements(board)]
    built = WITHOUT_WHEEL.get(board.machine, ())
    if built:
        words += ["--find-links", str(_built(board, built)), "--platform", f"linux_{board.machine}"]
    return kept_packages(board, *words)


def agent_requirements(board: Board, setup_cfg: Path = REPOSITORY / "setup.cfg") -> list[Requirement]:
    """What the extra `agent` asks for on the board."""
    settings = configparser.ConfigParser()
    settings.read(setup_cfg, encoding="utf-8")
    lines = settings["options.extras_require"]["agent"].strip().splitlines()
    target = {"platform_machine": board.machine, "python_version": board.python, "sys_platform": "linux"}
    wanted = [Requirement(line) for line in lines if not line.startswith("#")]
    return [one for one in wanted if one.marker is None or one.marker.evaluate(target)]


def _built(board: Board, requirements: Sequence[str]) -> Path:
    """A folder with their wheels, made by the board's own pip and gcc: two minutes, once."""
    names = "-".join(word.partition(">")[0] for word in requirements)
    folder = cache_folder() / "arm" / "wheels" / f"{board.architecture}-{board.python}-{names}"
    if not folder.exists():
        make_once(folder, lambda path: _build(board, requirements, path))
    return folder


def _build(board: Board, requirements: Sequence[str], folder: Path) -> None:
    root = cache_folder() / "arm" / "roots" / f"{board.architecture}-{board.release}-wheels"
    kept = {"ARM_ROOT_PKGS": COMPILER_PACKAGES, "ARM_ROOT_CACHE": str(cache_folder() / "arm" / "debs")}
    _run([ARM_SCRIPTS / "make-root", board.architecture, board.release, root], {**os.environ, **kept})
    folder.mkdir()
    variables = {"PATH": os.environ["PATH"], "ARM_BIND": str(folder)}
    for certificates in [os.environ[name] for name in CERTIFICATES if name in os.environ][:1]:
        variables["ARM_BIND"] += f" {certificates}"
        variables["ARM_ENV_PIP_CERT"] = certificates
    words = ["python3", "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, *requirements]
    _run([ARM_SCRIPTS / "run", root, board.cpu, *words], variables)


def _run(words: Sequence[str | Path], variables: dict[str, str]) -> None:
    done = subprocess.run(
        [str(word) for word in words], env=variables, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SourceError(f"building packages on a board failed: {done.stderr.strip()[-1500:]}")
