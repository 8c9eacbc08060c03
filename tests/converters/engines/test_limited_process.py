"""Foreign programs within limits."""

import os
import sys
import time
from pathlib import Path

import pytest

from edgewise_converters.engines.limited_process import Limits, last_words, run_limited
from edgewise_converters.errors import EngineError

MEMORY_BYTES = 400_000_000
WORKER = Path(run_limited.__code__.co_filename).with_name("onnx2tf_worker.py")


def run(folder: Path, program: str, **limits: float) -> str:
    chosen = Limits(time_s=limits.get("time_s", 60.0), memory_bytes=int(limits.get("memory_bytes", 0)))
    return run_limited("tool 1.0", [sys.executable, "-c", program], folder=folder, limits=chosen)


def test_what_a_program_prints_is_returned_and_not_shown(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    said = run(tmp_path, "import sys; print('one'); print('two', file=sys.stderr)")
    assert set(said.split()) == {"one", "two"}
    assert capfd.readouterr() == ("", "")


def test_a_failure_is_told_by_its_last_error_in_one_line(tmp_path: Path) -> None:
    program = "print('chatter\\n' * 500); raise ValueError('axis 7 is out of range')"
    with pytest.raises(
        EngineError, match=r"^tool 1.0 failed with exit status 1: ValueError: axis 7 is out of range$"
    ):
        run(tmp_path, program)


def test_sys_exit_0_is_no_failure_and_any_other_is(tmp_path: Path) -> None:
    run(tmp_path, "import sys; sys.exit(0)")
    with pytest.raises(EngineError, match="exit status 3: so it goes"):
        run(tmp_path, "import sys; print('so it goes'); sys.exit(3)")


def test_a_crash_names_its_signal(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="by SIGSEGV"):
        run(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")


def test_a_program_that_hangs_is_ended_with_everything_it_started(tmp_path: Path) -> None:
    program = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "open('child', 'w').write(str(child.pid))\n"
        "time.sleep(600)"
    )
    with pytest.raises(EngineError, match="not done after 3 s, so it was ended"):
        run(tmp_path, program, time_s=3)
    assert ends(int((tmp_path / "child").read_text()))


def ends(pid: int) -> bool:
    """Whether a process is gone, or only waits for init to take notice."""
    for _ in range(100):
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return True
        time.sleep(0.1)
    return False


def test_the_worker_gets_no_more_memory_than_its_limit(tmp_path: Path) -> None:
    # A package of that name which only allocates: what is tested is that our worker set its limit before.
    package = tmp_path / "site"
    package.mkdir()
    (package / "onnx2tf.py").write_text("def convert(**options): bytearray(2_000_000_000)\n")
    program = (
        f"import runpy, sys; sys.path.insert(0, {str(package)!r}); sys.argv = ['', 'in', 'out', 'plain']; "
    )
    program += f"runpy.run_path({str(WORKER)!r}, run_name='__main__')"
    words = [sys.executable, "-I", "-c", program]
    with pytest.raises(EngineError, match="MemoryError"):
        run_limited("tool", words, folder=tmp_path, limits=Limits(memory_bytes=MEMORY_BYTES))


def test_a_program_does_not_see_our_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    assert "PYTHONPATH" in os.environ
    assert "None" in run(tmp_path, "import os; print(os.environ.get('PYTHONPATH'))")


def test_the_last_error_is_said_and_without_one_the_last_line() -> None:
    assert last_words("ERROR: first\nnoise\n\x1b[31mERROR: second\x1b[0m\nbye\n") == "ERROR: second"
    assert last_words("noise\nbye\n") == "bye"
    assert last_words("") == "it printed nothing"
