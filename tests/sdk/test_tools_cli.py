"""`edgewise bench`, `profile` and `doctor` as their user meets them: real processes, exit codes, both streams."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgewise.testing import write_tiny_model

EDGEWISE = str(Path(sys.executable).with_name("edgewise"))
PATIENCE_S = 60.0
"""For a process to appear on a machine with other work."""


def edgewise(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    command = [EDGEWISE, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload, no-any-return]  # keywords by name, checked when called


def test_bench_shows_one_file(tiny: Path) -> None:
    done = edgewise("bench", tiny, "--runs", 10)
    assert (done.returncode, done.stderr) == (0, "")
    for text in ("latency       p50 ", "throughput", "cold", "MB at its peak", "energy", ", 10 runs"):
        assert text in done.stdout


def test_bench_compares_files_as_json(tiny: Path, tiny_onnx: Path) -> None:
    done = edgewise("bench", tiny, tiny_onnx, "--runs", 10, "--threads", 1, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    values = json.loads(done.stdout)
    assert [file["backend"] for file in values["files"]] == ["litert", "onnxruntime"]
    assert values["threads"] == 1


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A model whose operators take more than a microsecond."""
    return write_tiny_model(tmp_path / "large.tflite", size_wh=(600, 600))


def test_profile_shows_operators(large: Path) -> None:
    done = edgewise("profile", large, "--runs", 5)
    assert (done.returncode, done.stderr) == (0, "")
    assert "█" in done.stdout
    assert "Fully Connected" in done.stdout


def test_profile_draws_in_ascii_where_the_terminal_wants_it(large: Path) -> None:
    done = edgewise("profile", large, "--runs", 5, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, "")
    assert "####" in done.stdout


def test_doctor_says_that_models_run_here() -> None:
    done = edgewise("doctor")
    assert (done.returncode, done.stderr) == (0, "")
    assert "models run here" in done.stdout
    assert json.loads(edgewise("doctor", "--json").stdout)["can_run"] is True


def test_doctor_lives_without_numpy_and_ends_with_1(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("raise ImportError('numpy is broken here')\n")
    done = edgewise("doctor", env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert (done.returncode, done.stderr) == (1, "")
    assert "numpy is broken here" in done.stdout
    assert "no model can run here" in done.stdout


def test_a_file_called_numpy_in_the_users_folder_does_no_harm(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("raise ImportError('not the real one')\n")
    assert edgewise("bench", tiny, "--runs", 2, cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("command", ["bench", "profile"])
def test_bad_files_are_one_line_each(command: str, tiny: Path, tmp_path: Path) -> None:
    for name, content in (
        ("empty", b""),
        ("text", b"hello"),
        ("cut", tiny.read_bytes()[:500]),
        ("gone", None),
    ):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        done = edgewise(command, path)
        assert (done.returncode, done.stdout) == (1, ""), name
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"error: {path}: "), line


@pytest.mark.parametrize("command", ["bench", "profile"])
def test_bad_options_are_one_line_or_usage(command: str, tiny: Path) -> None:
    done = edgewise(command, tiny, "--shape", "image=1xabc")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: --shape: got 'image=1xabc', expected NAME=SIZES such as image=1x224x224x3\n"
    for wrong in (["--runs", "0"], ["--threads", "0"], ["--seconds", "-1"], ["--nonsense"]):
        done = edgewise(command, tiny, *wrong)
        assert (done.returncode, done.stdout) == (2, "")
    assert edgewise(command).returncode == 2


def test_a_picture_that_is_missing_is_one_line(tiny: Path, tmp_path: Path) -> None:
    done = edgewise("bench", tiny, "--image", tmp_path / "gone.jpg")
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert f"{tmp_path / 'gone.jpg'}: no such file" in line


def children_of(pid: int) -> list[int]:
    """The processes that a process started (proc(5), /proc/pid/task/tid/children)."""
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def wait_for_child(process: subprocess.Popen[str]) -> int:
    """The process in which the model runs, once it is there."""
    ends = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends:
        if children := children_of(process.pid):
            return children[0]
        time.sleep(0.01)
    raise AssertionError("no process for the model")


def ends_soon(pid: int) -> bool:
    """Whether a process ends, at the latest when it has heard that nobody asks any more."""
    ends = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


def bench_for_long(tiny: Path) -> subprocess.Popen[str]:
    """A benchmark that would take minutes."""
    command = [EDGEWISE, "bench", str(tiny), "--runs", "1000000000", "--seconds", "300"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_ctrl_c_ends_with_130_and_takes_the_child_along(tiny: Path) -> None:
    with bench_for_long(tiny) as process:
        child = wait_for_child(process)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, output) == (130, "")
    assert errors in ("", "interrupted\n")
    assert ends_soon(child)


def test_a_child_that_is_killed_is_one_line(tiny: Path) -> None:
    with bench_for_long(tiny) as process:
        os.kill(wait_for_child(process), signal.SIGKILL)
        output, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, output) == (1, "")
    (line,) = errors.splitlines()
    assert line.startswith(
        f"error: {tiny}: the process that ran it was ended by SIGKILL; the kernel does so when "
    )
