"""Converts ONNX files with onnx2tf, each in a forked process: a line "MODEL OUT_FOLDER simplified|plain" in,
a line of JSON out.

It runs in onnx2tf's own environment (see peers.py); nothing of the project imports it. onnx2tf is imported once.
Its exit, crash or hang is that of one conversion; what it prints is kept for the reason. Simplified is its default,
by `onnxsim`, which takes ten times as long as the rest.
"""

import functools
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE_S = 60.0


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    import onnx2tf.onnx2tf  # the package's own module imports it late, which would be in every child

    for line in sys.stdin:
        model, out, way = line.split()
        work = functools.partial(onnx2tf.onnx2tf.convert, not_use_onnxsim=way == "plain", non_verbose=True)
        status = convert(work, model, out)
        files = sorted(str(path) for path in Path(out).glob("*_float32.tflite"))
        answers.write(json.dumps({"reason": reason(status, f"{out}/log"), "file": "".join(files[:1])}) + "\n")


def convert(work: Callable[..., object], model: str, out: str) -> int | None:
    """The exit status of one conversion in a child; None when it was killed for its slowness."""
    Path(out).mkdir(parents=True, exist_ok=True)
    ended, ends = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        os.close(ended)
        log = os.open(f"{out}/log", os.O_WRONLY | os.O_CREAT)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(out)
        run(work, model, out)
    os.close(ends)
    in_time = wait_readable(ended)
    os.close(ended)
    if not in_time:
        os.killpg(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) if in_time else None


def wait_readable(descriptor: int) -> bool:
    """Whether the other end was closed, by the child's end, before patience ran out."""
    deadline = time.monotonic() + PATIENCE_S
    while (left := deadline - time.monotonic()) > 0:
        if select.select([descriptor], [], [], left)[0]:
            return True
    return False


def run(work: Callable[..., object], model: str, out: str) -> None:
    """In the child: convert and leave, whatever happens."""
    code = 1
    try:
        work(input_onnx_file_path=model, output_folder_path=out)
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
        print(f"SystemExit: {error.code}")
    except BaseException as error:
        print(f"{type(error).__name__}: {error}")
    finally:
        sys.stdout.flush()
        os._exit(code)


def reason(status: int | None, log: str) -> str:
    """Why nothing was written, or ""."""
    if status == 0:
        return ""
    if status is None:
        return f"nothing within {PATIENCE_S:g} s"
    with Path(log).open(errors="replace") as file:
        lines = [line.strip() for line in file if line.strip()]
    said = next((line for line in reversed(lines) if "Error: " in line), lines[-1] if lines else "nothing")
    return f"exit status {status}: {said[:160]}"


if __name__ == "__main__":
    main()
