"""What the doctor finds on boards of files, and on this machine."""

import json
from pathlib import Path

import pytest

from edgewise.doctor import (
    Examination,
    Finding,
    backend_findings,
    disk_finding,
    examine,
    reading_finding,
    remedy_of,
    try_in_process,
)
from edgewise.testing import write_board

WORKS = {"litert": "", "tflite-runtime": "", "onnxruntime": ""}
MISSING = {
    "litert": "not installed; pip install ai-edge-litert",
    "tflite-runtime": "not installed; pip install tflite-runtime",
    "onnxruntime": "not installed; pip install onnxruntime",
}


def found(examination: Examination, name: str) -> Finding:
    """The finding of that name."""
    return next(finding for finding in examination.findings if finding.name == name)


def on_board(root: Path) -> Examination:
    """A board on which every runtime works."""
    return examine(
        root, vcgencmd=None, try_backend=lambda name: WORKS[name], try_delegate=lambda _: "cannot be loaded"
    )


def test_a_healthy_board_has_no_problem(tmp_path: Path) -> None:
    examination = on_board(write_board(tmp_path))
    assert examination.can_run
    assert [finding for finding in examination.findings if finding.problem] == []
    assert found(examination, "board").value == "Raspberry Pi 4 Model B Rev 1.4"
    assert found(examination, "processor").value == "Cortex-A72, 4 cores"
    assert (
        found(examination, "features").value == "int8 dot product no, fp16 arithmetic no, i8mm no, NEON yes"
    )
    assert examination.page().endswith("models run here; no problems")


@pytest.mark.parametrize(
    ("board", "name", "remedy"),
    [
        ({"throttled": "50005"}, "throttling", "power supply"),
        ({"throttled": "20000"}, "throttling", "cool the board"),
        ({"temperature_c": 83.0}, "temperature", "heat sink"),
        ({"governor": "powersave"}, "governor", "echo performance"),
        ({"available_kb": 60_000}, "memory", "swap"),
    ],
)
def test_each_problem_has_its_remedy(
    tmp_path: Path, board: dict[str, object], name: str, remedy: str
) -> None:
    examination = on_board(write_board(tmp_path, **board))  # type: ignore[arg-type]  # keywords by name, checked when called
    assert [finding.name for finding in examination.findings if finding.problem] == [name]
    assert remedy in found(examination, name).remedy
    assert examination.page().endswith("models run here; 1 problem")


def test_a_board_that_tells_nothing_is_not_a_problem(tmp_path: Path) -> None:
    examination = on_board(tmp_path)
    assert [finding for finding in examination.findings if finding.problem] == []
    assert found(examination, "throttling").value.startswith("not known")


def test_a_full_disk_is_a_problem() -> None:
    assert disk_finding(50_000_000).remedy
    assert not disk_finding(5_000_000_000).problem


def test_picture_reading_that_is_not_compiled_is_no_problem_and_can_be_had() -> None:
    assert reading_finding("").value == "compiled"
    missing = reading_finding("not compiled here")
    assert not missing.problem
    assert (
        "in NumPy and Pillow, slower; the one in C is not compiled here; for it: apt install" in missing.value
    )


def test_without_any_runtime_nothing_can_run(tmp_path: Path) -> None:
    examination = examine(write_board(tmp_path), vcgencmd=None, try_backend=lambda name: MISSING[name])
    assert not examination.can_run
    assert found(examination, "litert").problem
    assert "no model can run here" in examination.page()


def test_one_missing_runtime_is_no_problem_where_the_other_works() -> None:
    findings = backend_findings(
        {**WORKS, "tflite-runtime": MISSING["tflite-runtime"]}, machine="aarch64", python=(3, 13)
    )
    assert [finding.problem for finding in findings] == ["", "", ""]
    findings = backend_findings(
        {**WORKS, "onnxruntime": MISSING["onnxruntime"]}, machine="aarch64", python=(3, 13)
    )
    assert findings[2].value == "not installed: needed for .onnx files only"


def test_a_broken_runtime_is_a_problem_though_another_works() -> None:
    backends = {**WORKS, "litert": "installed, and its import fails: undefined symbol"}
    findings = backend_findings(backends, machine="aarch64", python=(3, 13))
    assert findings[0].remedy == "pip install --force-reinstall ai-edge-litert"


@pytest.mark.parametrize(
    ("name", "reason", "machine", "python", "remedy"),
    [
        ("litert", MISSING["litert"], "aarch64", (3, 13), "pip install ai-edge-litert"),
        ("litert", MISSING["litert"], "armv7l", (3, 11), "64-bit Raspberry Pi OS"),
        ("litert", MISSING["litert"], "armv8l", (3, 11), "64-bit Raspberry Pi OS"),
        ("tflite-runtime", MISSING["tflite-runtime"], "armv7l", (3, 11), "pip install tflite-runtime"),
        ("tflite-runtime", MISSING["tflite-runtime"], "armv7l", (3, 13), "Python 3.11 at most"),
        ("tflite-runtime", "installed, and fails with NumPy 2.3: it needs numpy<2", "aarch64", (3, 11), "'numpy<2'"),
        ("litert", "its import fails: version `GLIBC_2.34' not found", "aarch64", (3, 11), "Bookworm or newer"),
        ("litert", "the process that ran it was ended by SIGILL", "aarch64", (3, 11), "this processor lacks"),
    ],
)  # fmt: skip
def test_the_remedy_fits_the_reason(
    name: str, reason: str, machine: str, python: tuple[int, int], remedy: str
) -> None:
    assert remedy in remedy_of(name, reason, machine=machine, python=python)


def test_a_working_runtime_is_found_in_a_process_of_its_own() -> None:
    assert try_in_process("litert") == ""


def test_this_machine_is_examined_and_fits_into_json() -> None:
    values = json.loads(json.dumps(examine().to_dict()))
    assert values["can_run"] is True
    assert values["backends"]["litert"] == ""
    assert {"board", "processor", "governor", "disk"} <= {finding["name"] for finding in values["findings"]}
