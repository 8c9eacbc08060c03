"""Weights give their memory back when they are freed."""

import ctypes
import sys
from contextlib import suppress

_M_MMAP_THRESHOLD = -3  # malloc.h, mallopt(3)
_LARGE_BYTES = 256 * 1024


def return_large_blocks() -> None:
    """Have glibc map large blocks one by one for the rest of the process.

    By default its threshold grows to 32 MB with the first large block that is freed (mallopt(3)); from then on
    weights lie in the heap, whose holes stay: a session of onnxruntime leaves 50 MB behind where it now leaves 10.
    Nothing happens on other systems.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
