"""What setup.cfg says about packages, against the disk."""

import configparser
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = configparser.ConfigParser()
SETTINGS.read(ROOT / "setup.cfg")
ROOTS = {
    name.strip(): ROOT / path.strip()
    for name, path in (
        line.split("=") for line in SETTINGS["options"]["package_dir"].split("\n") if line.strip()
    )
}


def packages_on_disk() -> set[str]:
    found = set()
    for name, folder in ROOTS.items():
        for init in folder.rglob("__init__.py"):
            inner = init.parent.relative_to(folder).parts
            found.add(".".join((name, *inner)))
    return found


def test_setup_cfg_lists_exactly_the_packages_on_disk() -> None:
    listed = {line for line in SETTINGS["options"]["packages"].split("\n") if line}
    assert listed == packages_on_disk()


@pytest.mark.parametrize("name", sorted(ROOTS))
def test_every_root_holds_one_package_and_no_init_of_its_own(name: str) -> None:
    folder = ROOTS[name].parent
    assert not (folder / "__init__.py").exists()
    assert [path.name for path in folder.iterdir() if (path / "__init__.py").exists()] == [name]
    assert (ROOTS[name] / "py.typed").exists()


def modules() -> list[str]:
    names = []
    for name, folder in ROOTS.items():
        names.append(name)
        names += [info.name for info in pkgutil.walk_packages([str(folder)], f"{name}.")]
    return names


@pytest.mark.parametrize("name", modules())
def test_every_module_imports_and_says_what_it_is(name: str) -> None:
    assert (importlib.import_module(name).__doc__ or "").strip()


@pytest.mark.parametrize("name", sorted(packages_on_disk()))
def test_every_public_name_is_there_and_documented(name: str) -> None:
    package = importlib.import_module(name)
    for public in getattr(package, "__all__", ()):
        value = getattr(package, public)
        if callable(value):
            assert (value.__doc__ or "").strip(), f"{name}.{public} has no docstring"


def test_floors_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_no_file_of_ours_is_too_long_to_read_in_one_sitting() -> None:
    lengths = {
        path.relative_to(ROOT): len(path.read_text(encoding="utf-8").splitlines())
        for folder in ROOTS.values()
        for path in folder.rglob("*.py")
    }
    assert {path: length for path, length in lengths.items() if length > 500} == {}
