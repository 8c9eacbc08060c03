#!/usr/bin/env python3
"""The project inside an emulated Raspberry Pi: pi2, pi3, pi4 or pi5.

Usage: arm_userland.py BOARD COMMAND..., for instance `arm_userland.py pi4 edgewise --help`. The first call
builds the board's Debian root (arm/make-root) and installs there what `pip install edgewise` would bring, and
this checkout as it is. The command starts in the current folder, which has the same path inside.

Packages are resolved from outside for the board's platform and glibc: pip under emulation would take minutes.
"""

import argparse
import configparser
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

from arm_kernel import compiled_kernels
from model_sources.wheels import SourceError, cache_folder, make_once

REPOSITORY = Path(__file__).resolve().parents[1]
ARM_SCRIPTS = REPOSITORY / "scripts" / "arm"
PROJECT_FILES = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE")

INSIDE_PACKAGES = Path("/opt/edgewise/packages")
INSIDE_PROJECT = Path("/opt/edgewise/project")
INSIDE_BYTECODE = Path("/opt/edgewise/bytecode")
"""Python takes seconds to compile what it imports, under emulation: it keeps that, in no folder of others."""

PIP_OPTIONS = ("--disable-pip-version-check", "install", "--quiet", "--no-compile")
PIP_INSTALL = (sys.executable, "-m", "pip", *PIP_OPTIONS)

KEEP_PROJECT_S = 3600

# Counts are only repeatable when hashing is.
COUNTING_VARIABLES = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "LANG": "C.UTF-8"}

# glibc versions for which the package index has wheels; a board takes those up to its own (PEP 600).
GLIBC_MINORS = (17, 24, 26, 27, 28, 31, 34, 35, 36, 39, 41)


@dataclass(frozen=True)
class Board:
    """A Raspberry Pi as the emulator and the package index see it."""

    name: str
    architecture: str
    release: str
    cpu: str
    machine: str
    python: str
    glibc_minor: int
    system_packages: tuple[str, ...] = ()
    """Distributions that Debian provides there; what needs them is installed without its dependencies."""

    @property
    def platforms(self) -> list[str]:
        minors = [minor for minor in reversed(GLIBC_MINORS) if minor <= self.glibc_minor]
        return [f"manylinux_2_{minor}_{self.machine}" for minor in minors] + [f"manylinux2014_{self.machine}"]


BOARDS = {
    board.name: board
    for board in (
        Board("pi2", "armhf", "bookworm", "cortex-a7", "armv7l", "3.11", 36, ("numpy", "pillow")),
        Board("pi3", "arm64", "bookworm", "cortex-a53", "aarch64", "3.11", 36),
        Board("pi4", "arm64", "bookworm", "cortex-a72", "aarch64", "3.11", 36),
        Board("pi5", "arm64", "trixie", "cortex-a76", "aarch64", "3.13", 41),
    )
}


@dataclass(frozen=True)
class Userland:
    """A board's root with the project's requirements and the project in it."""

    board: Board
    root: Path
    packages: Path
    project: Path
    bytecode: Path

    def run(
        self,
        *command: str | Path,
        binds: Sequence[Path] = (),
        folder: Path = Path("/"),
        variables: Mapping[str, str] | None = None,
        capture: bool = True,
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command on the board; `binds` are shown inside under their own paths.

        `edgewise` as the first word is the project's own command.
        """
        words, environment = self.command(*command, binds=binds, folder=folder, variables=variables)
        return subprocess.run(words, env=environment, capture_output=capture, text=True, check=False)

    def command(
        self,
        *command: str | Path,
        binds: Sequence[Path] = (),
        folder: Path = Path("/"),
        variables: Mapping[str, str] | None = None,
    ) -> tuple[list[str], dict[str, str]]:
        """What `run` starts, and its environment. It becomes the command, so signals reach that."""
        ours = {
            self.packages: INSIDE_PACKAGES,
            self.project: INSIDE_PROJECT,
            self.bytecode: INSIDE_BYTECODE,
        }
        shown = [*(f"{outside}:{inside}" for outside, inside in ours.items()), *map(str, binds)]
        environment = {
            "PATH": os.environ["PATH"],
            "ARM_BIND": " ".join(shown),
            "ARM_CWD": str(folder),
            "ARM_ENV_PYTHONPATH": f"{INSIDE_PROJECT}:{INSIDE_PACKAGES}",
            "ARM_ENV_PYTHONPYCACHEPREFIX": str(INSIDE_BYTECODE),
            **{f"ARM_ENV_{name}": value for name, value in (variables or {}).items()},
        }
        words = [str(word) for word in command]
        if words[0] == "edgewise":
            words[:1] = ["python3", str(INSIDE_PROJECT / "bin" / "edgewise")]
        return [str(ARM_SCRIPTS / "run"), str(self.root), self.board.cpu, *words], environment

    def count(self, *command: str | Path, report: Path) -> "subprocess.CompletedProcess[str]":
        """Run a program of the board and append to `report` the instructions it executed (arm64 only).

        What is counted, and how the program marks a part of itself: arm/count_instructions.c.
        """
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "XDG_CACHE_HOME") if name in os.environ}
        # Files are looked up on this machine, too, so the folders keep their own names here.
        variables = {**kept, "PYTHONPATH": f"{self.project}:{self.packages}", **COUNTING_VARIABLES}
        words = [ARM_SCRIPTS / "count-instructions", self.root, self.board.cpu, report, *command]
        return subprocess.run(
            [str(word) for word in words], env=variables, capture_output=True, text=True, check=False
        )


def why_not() -> str | None:
    """What keeps this machine from emulating a board, or None."""
    if sys.platform != "linux" or shutil.which("apt-get") is None:
        return "emulated boards are built from Debian packages: needs a Debian (or Debian-like) Linux machine"
    if os.geteuid() != 0:
        return "emulated boards need root, for a chroot in a mount namespace"
    return None


def userland(board: Board) -> Userland:
    """The board, built and with this checkout installed. Raises SourceError when that is impossible."""
    reason = why_not()
    if reason is not None:
        raise SourceError(reason + ".")
    root = cache_folder() / "arm" / "roots" / f"{board.architecture}-{board.release}"
    root.parent.mkdir(parents=True, exist_ok=True)
    debs = cache_folder() / "arm" / "debs"
    _run(
        [ARM_SCRIPTS / "make-root", board.architecture, board.release, root],
        f"building {board.name}",
        {"ARM_ROOT_CACHE": str(debs)},
    )
    bytecode = cache_folder() / "arm" / "bytecode" / root.name
    bytecode.mkdir(parents=True, exist_ok=True)
    return Userland(board, root, _packages(board), _project(board), bytecode)


def requirements(board: Board, setup_cfg: Path = REPOSITORY / "setup.cfg") -> list[Requirement]:
    """What `pip install edgewise` asks for on the board, less what Debian provides there."""
    settings = configparser.ConfigParser()
    settings.read(setup_cfg, encoding="utf-8")
    lines = settings["options"]["install_requires"].strip().splitlines()
    target = {"platform_machine": board.machine, "python_version": board.python, "sys_platform": "linux"}
    wanted = (Requirement(line) for line in lines)
    return [
        requirement
        for requirement in wanted
        if requirement.name not in board.system_packages
        and (requirement.marker is None or requirement.marker.evaluate(target))
    ]


def _packages(board: Board) -> Path:
    return kept_packages(board, *(f"{wanted.name}{wanted.specifier}" for wanted in requirements(board)))


def extra_packages(board: Board, extra: str) -> Path:
    """A folder with the packages that `pip install edgewise[extra]` adds, without what these need in turn."""
    settings = configparser.ConfigParser()
    settings.read(REPOSITORY / "setup.cfg", encoding="utf-8")
    wanted = map(Requirement, settings["options.extras_require"][extra].strip().splitlines())
    return kept_packages(
        board, "--no-deps", *(f"{requirement.name}{requirement.specifier}" for requirement in wanted)
    )


def kept_packages(board: Board, *words: str) -> Path:
    """A folder with what pip installs for the board when it is given ``words``; kept. Raises SourceError."""
    stamp = hashlib.sha256(" ".join([*words, *board.platforms]).encode()).hexdigest()[:12]
    folder = cache_folder() / "arm" / "packages" / f"{board.machine}-{board.python}-{stamp}"
    if not folder.exists():
        make_once(folder, lambda path: _install_packages(board, words, path))
    return folder


def _install_packages(board: Board, words: Sequence[str], folder: Path) -> None:
    common = [*PIP_INSTALL, "--only-binary=:all:", "--python-version", board.python, "--target", str(folder)]
    for platform in board.platforms:
        common += ["--platform", platform]
    runtimes = [word for word in words if board.system_packages and word.startswith("tflite-runtime")]
    others = [word for word in words if word not in runtimes]
    _run([*common, *others], f"installing {' '.join(others)} for {board.name}")
    if runtimes:
        _run([*common, "--no-deps", *runtimes], f"installing {' '.join(runtimes)} for {board.name}")


def _project(board: Board) -> Path:
    """This checkout, installed as the board's wheel would be; made anew when a file of it has changed."""
    settings = configparser.ConfigParser()
    settings.read(REPOSITORY / "setup.cfg", encoding="utf-8")
    package_dirs = [
        line.split("=")[1].strip() for line in settings["options"]["package_dir"].strip().splitlines()
    ]
    files = [REPOSITORY / name for name in PROJECT_FILES]
    for package_dir in package_dirs:
        files += sorted(path for path in (REPOSITORY / package_dir).rglob("*") if _is_source(path))
    digest = hashlib.sha256()
    for path in files:
        digest.update(str(path.relative_to(REPOSITORY)).encode() + b"\0" + path.read_bytes() + b"\0")
    folder = cache_folder() / "arm" / "project" / f"{board.architecture}-{digest.hexdigest()[:16]}"
    if not folder.exists():
        _drop_old(folder.parent)
        make_once(folder, lambda path: _install_project(files, compiled_kernels(board.architecture), path))
    return folder


def _drop_old(folder: Path) -> None:
    """Remove installations of earlier states of the checkout, unless a run that began lately may use them."""
    for old in folder.glob("*"):
        if time.time() - old.stat().st_mtime > KEEP_PROJECT_S:
            shutil.rmtree(old, ignore_errors=True)


def _is_source(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts and path.suffix != ".so"


def _install_project(files: Sequence[Path], modules: Mapping[Path, Path], folder: Path) -> None:
    copy = folder.parent / "source"
    for path in files:
        target = copy / path.relative_to(REPOSITORY)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    _run(
        [*PIP_INSTALL, "--no-deps", "--target", str(folder), str(copy)],
        "installing the project for the boards",
    )
    for place, module in modules.items():
        shutil.copyfile(module, folder / "edgewise" / "preprocess" / place)


def _run(command: Sequence[str | Path], doing: str, variables: Mapping[str, str] | None = None) -> None:
    words = [str(word) for word in command]
    done = subprocess.run(
        words, env={**os.environ, **(variables or {})}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SourceError(f"{doing} failed: {done.stderr.strip()[-1500:]}")


def main() -> int:
    """Run the command on the board; its exit status, 1 when the board cannot be built, 2 for wrong usage."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("board", choices=BOARDS)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    if not arguments.command:
        parser.error("what is to be run on the board?")
    here = Path.cwd()
    try:
        board = userland(BOARDS[arguments.board])
        return board.run(*arguments.command, binds=[here], folder=here, capture=False).returncode
    except SourceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
