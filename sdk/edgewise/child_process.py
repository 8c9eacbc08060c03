"""Work that may end its process is done in a child, with a limit on its time and its memory.

The child is a fresh interpreter that knows this one's import path and nothing else of it: no `site`, no main module,
no threads. It is dead when `run_in_child` returns or raises, Ctrl-C included; on Linux it also dies with its parent.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from signal import Signals
from typing import IO, Any

from edgewise import errors
from edgewise.child_limits import DOUBT, ChildLimits
from edgewise.errors import EdgewiseError, ModelCrashed

_BOOTSTRAP = "import sys; sys.path[:] = sys.argv[1:]; from edgewise.child_main import main; main()"
_LINES_KEPT_BYTES = 4096
_OUT_OF_MEMORY = (b"bad_alloc", b"MemoryError", b"Cannot allocate memory", b"length_error")
"""What C++ and Python print before they end for want of memory."""
_TOO_LARGE = "out of memory: it needs more than it may have; take a smaller model, or allow more memory"


def run_in_child(job: str, argument: Any, *, limits: ChildLimits, what: str) -> Any:
    """Call the function ``job`` ("package.module:name") in a child; what it answers, which must be JSON.

    It is called with ``argument``, JSON too, and with a function that arms the limit on memory, to call once its
    imports are done. An EdgewiseError in the child is raised here. Raises ModelCrashed, beginning with ``what``, when
    the child dies, hangs or runs out of memory.
    """
    with tempfile.TemporaryFile() as chatter:
        command = [sys.executable, "-I", "-S", "-c", _BOOTSTRAP, *_import_path(job)]
        order = {"job": job, "argument": argument, "parent": os.getpid(), **asdict(limits)}
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=chatter
        ) as child:
            try:
                answer, _ = child.communicate(json.dumps(order).encode(), timeout=limits.seconds)
            except subprocess.TimeoutExpired:
                raise ModelCrashed(
                    f"{what}: not done after {limits.seconds:g} s: an endless loop, or this machine is too slow "
                    "for it; give it more time, or take another model"
                ) from None
            finally:  # also on Ctrl-C
                child.kill()
                child.wait()
        return _result(answer, child.returncode, _tail(chatter), what)


def _import_path(job: str) -> list[str]:
    """Where the child looks for modules: as here, then where ours and the job's are, which hooks may have found."""
    package = sys.modules[re.split("[.:]", job)[0]].__file__ or ""
    ours = [str(Path(file).resolve().parent.parent) for file in (__file__, package)]
    return list(dict.fromkeys(filter(None, [*sys.path, *ours])))


def _result(answer: bytes, code: int, tail: bytes, what: str) -> Any:
    try:
        reply = json.loads(answer)
    except ValueError:
        raise ModelCrashed(f"{what}: {_ending(code, tail)}") from None
    if "answer" in reply:
        return reply["answer"]
    if reply["kind"] == MemoryError.__name__:
        raise ModelCrashed(f"{what}: {_TOO_LARGE}")
    kind = getattr(errors, reply["kind"], EdgewiseError)
    raise kind(reply["error"])


def _ending(code: int, tail: bytes) -> str:
    if any(word in tail for word in _OUT_OF_MEMORY):
        return _TOO_LARGE
    if code >= 0:
        last = (tail.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
        return (
            f"the process that ran it ended with code {code}: {last}; get another file, or convert it again"
        )
    name = Signals(-code).name
    if name == "SIGKILL":
        return "killed (SIGKILL), as the kernel does when memory runs out; take a smaller model"
    return (
        f"the runtime died of {name} on it{DOUBT}; get another file, convert it again, or try another runtime"
    )


def _tail(chatter: IO[bytes]) -> bytes:
    size = chatter.seek(0, 2)
    chatter.seek(max(0, size - _LINES_KEPT_BYTES))
    return chatter.read()
