"""The child's side of `child_process`: limits itself, does the job, answers in one JSON object."""

import ctypes
import json
import os
import resource
import signal
import sys
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from edgewise.errors import EdgewiseError

_CHATTER_LIMIT_BYTES = 16 << 20
"""A runtime that complains in an endless loop fills no disk."""
_PR_SET_PDEATHSIG = 1
"""prctl(2): the signal this process gets when its parent dies."""
_SPARE_CPU_S = 5
_THREADS = 4
"""Processor time runs this much faster than the clock, at most; the parent watches the clock."""


def main() -> None:
    """What the child runs: one order on stdin, one answer on stdout."""
    order = json.load(sys.stdin)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # runtimes print what they like
    _die_with(order["parent"])
    _limit_work(order["seconds"])
    try:
        reply = {"answer": _call(order)}
    except (EdgewiseError, MemoryError) as error:
        reply = {"kind": type(error).__name__, "error": str(error)}
    json.dump(reply, answers)
    answers.flush()
    os._exit(0)  # a runtime that fails to take itself down has done the job all the same


def _call(order: dict[str, Any]) -> Any:
    module, _, name = order["job"].partition(":")
    job = getattr(import_module(module), name)
    return job(order["argument"], partial(_limit_memory, order["memory_bytes"]))


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it was gone before that
            os._exit(1)


def _limit_work(seconds: float) -> None:
    _set_limit(resource.RLIMIT_CORE, 0)
    _set_limit(resource.RLIMIT_CPU, int(seconds) * _THREADS + _SPARE_CPU_S)
    _set_limit(resource.RLIMIT_FSIZE, _CHATTER_LIMIT_BYTES)


def _limit_memory(allowed_bytes: int | None) -> None:
    allowed_bytes = allowed_bytes or _proc_bytes("/proc/meminfo", "MemAvailable")
    taken = _proc_bytes("/proc/self/status", "VmSize")
    if allowed_bytes and taken:
        _set_limit(resource.RLIMIT_AS, taken + allowed_bytes)


def _proc_bytes(path: str, name: str) -> int | None:
    """A figure in kB of proc(5) in bytes; None where there is none."""
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None)


def _set_limit(limit: int, value: int) -> None:
    hard = resource.getrlimit(limit)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (value, value))
