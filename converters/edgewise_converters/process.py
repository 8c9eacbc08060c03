"""How the process of a conversion is set up: cheap to run beside others, and memory that comes back."""

import ctypes
import os
import sys
import warnings
from contextlib import suppress

_M_MMAP_THRESHOLD = -3  # malloc.h, mallopt(3)
_LARGE_BYTES = 2048 * 1024


def set_up() -> None:
    """Call before numpy is imported."""
    _use_one_blas_thread()
    _return_large_blocks()
    # What numpy warns of (a division by zero in a measure of a dead channel) is judged by verification.
    warnings.simplefilter("ignore", RuntimeWarning)


def _use_one_blas_thread() -> None:
    """OpenBLAS's second thread spins between the many small products of calibration.

    On two cores it cost 6 CPU-seconds of 19 and made the command slower, not faster. What the user has set stays.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def _return_large_blocks() -> None:
    """Have glibc map large blocks one by one for the rest of the process.

    By default its threshold grows to 32 MB with the first large block that is freed (mallopt(3)); from then on
    weights lie in the heap, whose holes stay: a session of onnxruntime leaves 50 MB behind where it now leaves 10.
    Nothing happens on other systems.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
