"""The whole SDK on a Pi 2, a Pi 4 and a Pi 5: it imports, answers as here, tests itself, and its doctor is right."""

import functools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import numpy as np
import pytest
from arm.board_parts import RUNTIME_OF_BOARD, TARGET_OF_BOARD
from arm.sdk_models import write_models

import edgewise
from arm_userland import Userland, extra_packages
from edgewise.model_card import TASKS

pytestmark = [pytest.mark.arm, pytest.mark.slow, pytest.mark.timeout(900)]

WORKER = Path(__file__).with_name("sdk_worker.py")
BOARDS = ("pi2", "pi4", pytest.param("pi5", marks=pytest.mark.long))
PATIENCE = pytest.mark.timeout(1800)
"""The first test of a board waits for everything that is done on it."""
INT8 = "int8 network"
NEAR = 2e-6
"""Of numbers of size one: float32 in other orders of addition, through some layers."""
NEAR_OF = {"reading text": 2e-3}
"""A line is cut out by Pillow's bicubic, which rounds down what lies a hair below a byte: where the perspective differs
in its last bits, some bytes are one less."""
STEPS_ON_32_BIT = 1
"""tflite-runtime 2.14 rounds halves otherwise on 32-bit ARM than on x86."""
SO_IT_IS: dict[str, dict[str, Any]] = {
    "pi2": {"machine": "armv7l", "python": "3.11", "bits": 32, "board": "Raspberry Pi 2 Model B Rev 1.1",
            "cpu": "Cortex-A7", "asimddp": False, "pillow": "9.", "numpy": "1.24."},
    "pi4": {"machine": "aarch64", "python": "3.11", "bits": 64, "board": "Raspberry Pi 4 Model B Rev 1.4",
            "cpu": "Cortex-A72", "asimddp": False, "pillow": "", "numpy": "2."},
    "pi5": {"machine": "aarch64", "python": "3.13", "bits": 64, "board": "Raspberry Pi 5 Model B Rev 1.0",
            "cpu": "Cortex-A76", "asimddp": True, "pillow": "", "numpy": "2."},
}  # fmt: skip
SAID = {
    "opencv": "SourceError: 0: videos and cameras are read by OpenCV, which is not installed here: pip install",
    "picamera2": "apt install python3-picamera2, and make the environment with --system-site-packages",
    "sounddevice": "SourceError: microphone: microphones are read by sounddevice, which does not work here: pip",
    "pyserial": "SourceError: /dev/ttyACM0: serial lines are read by pyserial, which is not installed here: pip",
    "tokenizers": "BackendUnavailable: text needs the tokenizers library, which is not installed here: pip install",
    "supervision": "EdgewiseError: to_supervision: the supervision package is not installed: pip install",
}
"""What is said of a package that is missing, when it is used."""
ONNX_SAID = {32: "onnxruntime is made for 64-bit systems only", 64: "pip install onnxruntime"}
Found = dict[str, Any]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """By target, the models of all tasks."""

    @functools.cache
    def written(target: str) -> Path:
        folder = tmp_path_factory.mktemp(target)
        write_models(folder, target)
        return folder

    return written


@pytest.fixture(scope="module")
def here(folders: Callable[[str], Path]) -> Callable[[str], Found]:
    """What this machine answers with the models of a target, in the runtime of its boards."""

    @functools.cache
    def answered(target: str, runtime: str) -> Found:
        folder = folders(target)
        command = [sys.executable, WORKER, folder, folder / "here.json", "--backend", runtime]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return dict(json.loads((folder / "here.json").read_text()))

    return lambda name: answered(TARGET_OF_BOARD[name], RUNTIME_OF_BOARD[name])


@pytest.fixture(scope="module")
def on(board: Callable[[str], Userland], folders: Callable[[str], Path]) -> Callable[[str], Found]:
    """What a board says to everything, asked in one process."""

    @functools.cache
    def asked(name: str) -> Found:
        there, folder = board(name), folders(TARGET_OF_BOARD[name])
        out, extra = folder / f"{name}.json", extra_packages(there.board, "text")
        words = ["python3", WORKER, folder, out, "--extra", extra, "--board"]
        done = there.run(*words, binds=[folder, WORKER.parent, extra], folder=folder)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(out.read_text()))

    return asked


def differences(got: Any, want: Any, near: float, where: str = "") -> Iterator[str]:
    """Where two answers differ: numbers with fractions by more than ``near``, all else at all."""
    if isinstance(want, dict) and isinstance(got, dict) and got.keys() == want.keys():
        for key in want:
            yield from differences(got[key], want[key], near, f"{where}.{key}")
    elif isinstance(want, list) and isinstance(got, list) and len(got) == len(want):
        for place, (one, other) in enumerate(zip(got, want, strict=True)):
            yield from differences(one, other, near, f"{where}[{place}]")
    elif isinstance(want, float) and isinstance(got, float):
        if abs(got - want) > near * max(1.0, abs(want)):
            yield f"{where}: got {got}, expected {want}"
    elif got != want:
        yield f"{where}: got {got}, expected {want}"


def test_the_models_are_of_every_task(here: Callable[[str], Found]) -> None:
    answers = here("pi4")["answers"]
    assert set(TASKS) <= set(answers)
    assert [name for name, answer in answers.items() if not answer or "error" in answer] == []
    assert len({str(rows) for rows in answers[INT8]}) == len(answers[INT8]) == 4


@PATIENCE
@pytest.mark.parametrize("name", BOARDS)
def test_every_module_imports_whatever_is_missing(name: str, on: Callable[[str], Found]) -> None:
    said = on(name)["imports"]
    modules = {module.name for module in walk_packages(edgewise.__path__, "edgewise.")}
    assert set(said) == modules | set(edgewise.__all__)
    assert {module: error for module, error in said.items() if error} == {}


@pytest.mark.parametrize("name", BOARDS)
def test_what_is_missing_is_named_when_it_is_used(name: str, on: Callable[[str], Found]) -> None:
    said = on(name)["missing"]
    expected = {**SAID, "onnxruntime": ONNX_SAID[SO_IT_IS[name]["bits"]]}
    assert set(said) == set(expected)
    assert [what for what, text in expected.items() if text not in said[what]] == []


@pytest.mark.parametrize("name", BOARDS)
def test_every_task_answers_as_on_x86(
    name: str, on: Callable[[str], Found], here: Callable[[str], Found]
) -> None:
    got, want = on(name)["answers"], here(name)["answers"]
    assert got.keys() == want.keys()
    others = [task for task in want if task != INT8]
    found = [differences(got[task], want[task], NEAR_OF.get(task, NEAR), task) for task in others]
    assert list(chain.from_iterable(found)) == []


@pytest.mark.parametrize("name", BOARDS)
def test_int8_is_bit_for_bit_that_of_x86_in_64_bit_and_near_it_in_32(
    name: str, on: Callable[[str], Found], here: Callable[[str], Found]
) -> None:
    steps = np.array(on(name)["answers"][INT8]) - np.array(here(name)["answers"][INT8])
    assert np.abs(steps).max() <= (STEPS_ON_32_BIT if name == "pi2" else 0)


@pytest.mark.parametrize("name", BOARDS)
def test_every_file_passes_its_own_golden_cases(
    name: str, on: Callable[[str], Found], here: Callable[[str], Found]
) -> None:
    tested = on(name)["self_tests"]
    assert tested.keys() == here(name)["self_tests"].keys()
    assert len(tested) >= 14
    assert {file: test["worst_db"] for file, test in tested.items() if not test["passed"]} == {}
    assert {test["backend"] for test in tested.values()} == {RUNTIME_OF_BOARD[name]}


@pytest.mark.parametrize("name", BOARDS)
def test_bench_and_profile_run(name: str, on: Callable[[str], Found]) -> None:
    bench, profile = (on(name)["commands"][word] for word in ("bench", "profile"))
    assert (bench["code"], bench["err"]) == (0, "")
    assert [file["backend"] for file in json.loads(bench["out"])["files"]] == [RUNTIME_OF_BOARD[name]] * 2
    if name == "pi2":
        assert (profile["code"], profile["out"]) == (1, "")
        assert "tflite-runtime has no profiler; install ai-edge-litert (64-bit systems)" in profile["err"]
    else:
        assert (profile["code"], profile["err"]) == (0, "")
        assert any("Convolution" in one["kind"] for one in json.loads(profile["out"])["operators"])


@pytest.mark.parametrize("name", BOARDS)
def test_the_doctor_tells_what_is_so(name: str, on: Callable[[str], Found]) -> None:
    found, so = on(name), SO_IT_IS[name]
    told, truth = found["commands"]["doctor"], found["truth"]
    assert (told["code"], told["err"]) == (0, "")
    values = json.loads(told["out"])
    device, findings = values["device"], {one["name"]: one for one in values["findings"]}
    assert (device["board"], device["cpu"], device["cores"]) == (so["board"], so["cpu"], 4)
    assert device["machine"] == truth["machine"] == so["machine"]
    assert device["features"] == truth["features"]
    assert (device["features"]["dot_product"], device["features"]["neon"]) == (so["asimddp"], True)
    assert truth["bits"] == so["bits"]
    assert findings["system"]["value"] == f"{so['bits']}-bit Python on {so['machine']}"
    packages = truth["packages"]
    assert truth["python"].startswith(so["python"])
    assert packages["numpy"].startswith(so["numpy"]) and packages["pillow"].startswith(so["pillow"])
    for word in (f"Python {truth['python']}", f"numpy {packages['numpy']}", f"pillow {packages['pillow']}"):
        assert word in findings["versions"]["value"]
    is_there = {"litert": "ai-edge-litert", "tflite-runtime": "tflite-runtime", "onnxruntime": "onnxruntime"}
    for runtime, package in is_there.items():
        reason = values["backends"][runtime]
        assert (not reason) == bool(packages[package]) == (runtime == RUNTIME_OF_BOARD[name]), reason
        assert reason == "" or reason.startswith("not installed; ")
        assert not findings[runtime]["problem"]
    if name == "pi2":
        assert values["backends"]["litert"] == "not installed; ai-edge-litert is made for 64-bit systems only"


@pytest.mark.parametrize("name", BOARDS)
def test_the_doctor_says_why_a_broken_runtime_does_not_work(name: str, on: Callable[[str], Found]) -> None:
    told = on(name)["commands"]["doctor of a broken runtime"]
    assert (told["code"], told["err"]) == (1, "")
    values = json.loads(told["out"])
    assert values["can_run"] is False
    reason = values["backends"][RUNTIME_OF_BOARD[name]]
    assert reason == "installed, and its import fails: undefined symbol: nothing"
    finding = next(one for one in values["findings"] if one["name"] == RUNTIME_OF_BOARD[name])
    assert finding["problem"] == reason and finding["remedy"].startswith("pip install --force-reinstall")
