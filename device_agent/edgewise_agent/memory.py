"""Gives back memory that only the start needed. Linux only; elsewhere nothing happens.

- The collector runs, and the C library returns free heap to the kernel (malloc_trim(3)).
- Pages of libraries and model files that were mapped for reading and never changed are let go of (madvise(2),
  MADV_DONTNEED): code that only their import ran, and the original weights after the runtime has packed them. The
  kernel reads back what is used again, from its cache as a rule.

MADV_DONTNEED would destroy pages that the process has changed. So a mapping counts only where the kernel says that it
has none (`Anonymous: 0` in /proc/self/smaps), only when it looks the same a second time, so that no library is met
while another thread loads it, and only when /proc/self/maps has all of them at the same places: an emulator translates
that file and not the other, whose addresses would be something else's here. Libraries are never unloaded by Python;
model files are, so whoever opens or closes a model while this may run holds MODEL_CHANGES.
"""

import ctypes
import gc
import logging
import math
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SETTLED_AFTER_S = 20.0
"""From the start to the first time: the model has run, the broker has been met."""
LOOK_AGAIN_S = 0.1
"""Between two looks; the loader needs some milliseconds for a library."""
SMAPS = Path("/proc/self/smaps")
MAPS = Path("/proc/self/maps")
_MADV_DONTNEED = 4
"""The same on every architecture but alpha and parisc (Linux, include/uapi/asm-generic/mman-common.h)."""
_KEPT_KINDS = re.compile(r"\.so(\.[\d.]+)?$|/(ld-|python)[^/]*$|\.(tflite|onnx)$")
"""Libraries, the loader, Python itself, model files."""
_HEADER = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) ([0-9a-f]+) \S+ \d+ +(/.*)")

MODEL_CHANGES = threading.Lock()
"""Held while a model is opened or closed, and while memory is given back."""

log = logging.getLogger("edgewise.agent.memory")


@dataclass(frozen=True)
class Mapping:
    """Of a file, for reading only, without a changed page."""

    start: int
    length: int
    offset: int
    """In the file; all in bytes."""
    path: str


def parse_unchanged(smaps: str) -> list[Mapping]:
    """The mappings in the text of /proc/self/smaps whose pages can be read again from their file."""
    found: list[Mapping] = []
    mapping: Mapping | None = None
    for line in smaps.splitlines():
        header = _HEADER.fullmatch(line)
        if header:
            is_whole = "w" not in header[3] and _KEPT_KINDS.search(header[5]) is not None
            mapping = _mapping_of(header) if is_whole else None
        elif line[:1].islower() or line[:1].isdigit():
            mapping = None  # a mapping of another kind
        elif mapping is not None and line.startswith("Anonymous:") and line.split()[1] == "0":
            found.append(mapping)
    return found


def parse_places(maps: str) -> set[Mapping]:
    """All mappings of files in the text of /proc/self/maps."""
    return {_mapping_of(header) for header in map(_HEADER.fullmatch, maps.splitlines()) if header}


def give_back(smaps: Path = SMAPS, maps: Path = MAPS, *, look_again_s: float = LOOK_AGAIN_S) -> int:
    """Do it, and return how many mappings were let go of; 0 where the C library or kernel knows no such thing.

    Takes ``look_again_s`` and some milliseconds, and holds MODEL_CHANGES as long.
    """
    gc.collect()
    try:
        library = ctypes.CDLL(None, use_errno=True)
        library.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    except (OSError, AttributeError):
        return 0
    if hasattr(library, "malloc_trim"):  # glibc has it, musl does not
        library.malloc_trim(0)
    with MODEL_CHANGES:
        first = _look(smaps, maps)
        time.sleep(look_again_s)
        same = first & _look(smaps, maps)
        return sum(library.madvise(one.start, one.length, _MADV_DONTNEED) == 0 for one in same)


class MemoryKeeper:
    """Gives memory back once the start is over. Used on one thread."""

    def __init__(
        self, *, after_s: float = SETTLED_AFTER_S, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._after_s, self._now_s = after_s, now_s
        self._due_s = now_s() + after_s

    def again(self) -> None:
        """Once more after some time, as when another model was opened."""
        self._due_s = self._now_s() + self._after_s

    def turn(self) -> bool:
        """Call it between two inputs; True when memory was given back in this turn."""
        if self._now_s() < self._due_s:
            return False
        self._due_s = math.inf
        log.debug("let go of %d mappings", give_back())
        return True


def _look(smaps: Path, maps: Path) -> set[Mapping]:
    try:
        found = set(parse_unchanged(smaps.read_text(errors="replace")))
        places = parse_places(maps.read_text(errors="replace"))
    except OSError:
        return set()
    # Nothing at all when one is elsewhere: an emulator's offset of a page lets some seem to agree.
    return found if found <= places else set()


def _mapping_of(header: re.Match[str]) -> Mapping:
    start, end = int(header[1], 16), int(header[2], 16)
    return Mapping(start, end - start, int(header[4], 16), header[5])
