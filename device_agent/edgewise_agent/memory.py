"""Gives back memory that only the start needed. Linux only; elsewhere nothing happens.

Three things, each without effect on what the process can do:
- The collector runs, and the C library returns free heap to the kernel (malloc_trim(3)).
- Pages of files that were mapped for reading and never changed are let go of (madvise(2), MADV_DONTNEED): code of
  libraries that only their import ran, and the original weights after the runtime has packed them. The kernel
  reads back what is used again, from its cache as a rule. Pages that the process has changed are not touched: a
  mapping counts only where the kernel says that it has none (`Anonymous: 0` in /proc/self/smaps).
"""

import ctypes
import gc
import logging
import re
import threading
from dataclasses import dataclass
from pathlib import Path

SETTLED_AFTER_S = 20.0
"""From the start to the first time: the model has run, the broker has been met."""
_MADV_DONTNEED = 4
"""The same on every architecture but alpha and parisc (Linux, include/uapi/asm-generic/mman-common.h)."""
_HEADER = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \d+ +(/.*)")

log = logging.getLogger("edgewise.agent.memory")


@dataclass(frozen=True)
class Mapping:
    """Of a file, for reading only, without a changed page."""

    start: int
    length: int
    path: str


def parse_unchanged(smaps: str) -> list[Mapping]:
    """The mappings in the text of /proc/self/smaps whose pages can be read again from their file."""
    found: list[Mapping] = []
    mapping: Mapping | None = None
    for line in smaps.splitlines():
        header = _HEADER.fullmatch(line)
        if header:
            start, end = int(header[1], 16), int(header[2], 16)
            is_whole = "w" not in header[3] and not header[4].endswith("(deleted)")
            mapping = Mapping(start, end - start, header[4]) if is_whole else None
        elif line[:1].islower() or line[:1].isdigit():
            mapping = None  # a mapping of another kind
        elif mapping is not None and line.startswith("Anonymous:") and line.split()[1] == "0":
            found.append(mapping)
    return found


def give_back(smaps: Path = Path("/proc/self/smaps")) -> int:
    """Do it, and return how many mappings were let go of; 0 where the C library or kernel knows no such thing."""
    gc.collect()
    try:
        library = ctypes.CDLL(None, use_errno=True)
        library.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    except (OSError, AttributeError):
        return 0
    if hasattr(library, "malloc_trim"):  # glibc has it, musl does not
        library.malloc_trim(0)
    try:
        mappings = parse_unchanged(smaps.read_text(errors="replace"))
    except OSError:
        return 0
    return sum(library.madvise(one.start, one.length, _MADV_DONTNEED) == 0 for one in mappings)


def give_back_later(after_s: float = SETTLED_AFTER_S) -> threading.Timer:
    """Once, ``after_s`` from now, on a thread that ends then; cancel it to stop before."""
    timer = threading.Timer(after_s, _give_back_and_tell)
    timer.daemon = True
    timer.name = "memory"
    timer.start()
    return timer


def _give_back_and_tell() -> None:
    log.debug("let go of %d mappings", give_back())
