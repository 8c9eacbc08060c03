"""Engines on the disk, made with the real venv and pip from a wheel on the disk; no network."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from edgewise_converters.engines.catalogue import Engine, Release, engine_named
from edgewise_converters.engines.installation import choose, home, install, installed, remove
from edgewise_converters.errors import EngineError

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
EDGEWISE = Path(sys.executable).with_name("edgewise")


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEWISE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A folder with a package `tiny` 1.0."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "tiny-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny.py", "answer = 42\n")
        wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        wheel.writestr(
            "tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr("tiny-1.0.dist-info/RECORD", "")
    return folder


def engine(package: str = "tiny", size_mb: int = 1, pythons: tuple[str, ...] = (HERE,)) -> Engine:
    return Engine("tiny", package, (Release("2.0", ("9.9",), 1), Release("1.0", pythons, size_mb)))


def test_the_newest_release_that_a_python_here_can_run_is_installed_listed_and_removed(wheels: Path) -> None:
    said: list[str] = []
    choice = choose(engine())
    assert (choice.release.version, choice.python_version) == ("1.0", HERE)
    made = install(choice, said.append, index=("--no-index", "--find-links", str(wheels)))
    code = "import tiny; print(tiny.answer)"
    assert (
        subprocess.run([made.python, "-c", code], capture_output=True, text=True, check=True).stdout == "42\n"
    )
    assert installed(engine()) == made
    assert any("environment" in line for line in said)
    assert install(choice, said.append) == made
    assert remove(engine()) == 1
    assert installed(engine()) is None
    assert remove(engine()) == 0
    assert list(home().iterdir()) == []


def test_what_fails_half_way_is_no_engine_and_is_finished_by_the_next_try(wheels: Path) -> None:
    choice = choose(engine())
    with pytest.raises(EngineError, match=r"installing it failed with exit status 1: .*tiny.*try again"):
        install(choice, lambda _: None, index=("--no-index",))
    assert installed(engine()) is None
    begun = next(home().glob("tiny-1.0/environment/pyvenv.cfg")).stat().st_mtime_ns
    made = install(choice, lambda _: None, index=("--no-index", "--find-links", str(wheels)))
    assert (made.folder / "environment" / "pyvenv.cfg").stat().st_mtime_ns == begun
    assert installed(engine()) == made


def test_a_manifest_that_is_no_manifest_is_no_engine() -> None:
    folder = home() / "tiny-1.0"
    folder.mkdir(parents=True)
    for text in (
        "",
        "{",
        "[]",
        json.dumps({"name": "tiny"}),
        json.dumps({"name": 1, "version": 2, "python_version": 3}),
    ):
        (folder / "engine.json").write_text(text)
        assert installed(engine()) is None


def test_too_small_a_disk_a_missing_python_and_an_unknown_name_are_said() -> None:
    with pytest.raises(EngineError, match=r"MB are free, .* are needed; make room, or set EDGEWISE_HOME"):
        install(choose(engine(size_mb=10**9)), lambda _: None)
    with pytest.raises(EngineError, match=r"found no Python 9\.9 on PATH"):
        choose(engine(pythons=("9.9",)))
    with pytest.raises(EngineError, match="did you mean onnx2tf"):
        engine_named("onnx2t")


def test_the_command_lists_and_removes(own_home: Path) -> None:
    def run(*words: str) -> str:
        command = [EDGEWISE, "engines", *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert "not installed" in run("list")
    assert json.loads(run("list", "--json")) == {"onnx2tf": None}
    assert "was not installed" in run("remove", "onnx2tf")
    done = subprocess.run([EDGEWISE, "engines", "remove", "x"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: engine: got 'x'")


def test_ctrl_c_in_an_installation_leaves_nothing_that_is_taken_for_an_engine(
    wheels: Path, own_home: Path
) -> None:
    program = (
        "from edgewise_converters.engines.installation import *\n"
        "from edgewise_converters.engines.catalogue import *\n"
        f"install(choose(Engine('tiny', 'tiny', (Release('1.0', ({HERE!r},), 1),))), print)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, env=dict(os.environ))
    begun = own_home / "engines" / "tiny-1.0" / "environment"
    deadline = time.monotonic() + 60
    while not begun.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode != 0
    assert b"KeyboardInterrupt" in said
    assert installed(engine()) is None
    assert install(
        choose(engine()), lambda _: None, index=("--no-index", "--find-links", str(wheels))
    ).python.exists()
