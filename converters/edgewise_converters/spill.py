"""Arrays that wait on the disk, so that they are not in memory while nobody needs them."""

import ctypes
import mmap
import os
import sys
import tempfile
import weakref
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgewise.tensors import Array
from edgewise_converters.errors import ConversionError

_ALIGNMENT = 64
"""Of an array's first byte."""


class _Nameless:
    """A file that nobody else finds, gone with this object."""

    def __init__(self) -> None:
        self.descriptor, name = tempfile.mkstemp(prefix="edgewise-")
        Path(name).unlink()

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


@dataclass(frozen=True)
class Spilled:
    """One array's place in a file, which lives as long as one of its arrays."""

    file: _Nameless
    place: int
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]

    def read(self) -> Array:
        """A copy in memory. Raises ConversionError."""
        array: Array = np.empty(self.shape, self.dtype)
        view = array.reshape(-1).view(np.uint8).data
        done = 0
        while done < len(view):
            read = os.preadv(self.file.descriptor, [view[done:]], self.place + done)
            if not read:
                raise ConversionError(
                    f"{tempfile.gettempdir()}: a temporary file ended early; is the disk failing?"
                )
            done += read
        return array


_MAPS: "weakref.WeakSet[mmap.mmap]" = weakref.WeakSet()


def release_mapped() -> None:
    """Let go of the pages of all arrays that `Spill.map` made; they come back from the file where they are read.

    Where there are such arrays, memory is short: what the heap holds free goes back to the system, too.
    """
    maps = list(_MAPS)
    for pages in maps:
        if hasattr(mmap, "MADV_DONTNEED"):
            pages.madvise(mmap.MADV_DONTNEED)
    if maps and sys.platform == "linux":
        with suppress(OSError, AttributeError):  # musl has none
            ctypes.CDLL(None).malloc_trim(0)


class Spill:
    """A temporary file without a name, made with the first array; gone with the last `Spilled` of it."""

    def __init__(self) -> None:
        self._file: _Nameless | None = None
        self._end = 0

    def put(self, array: Array) -> Spilled:
        """Write one array. Raises ConversionError, such as for a full disk."""
        try:
            if self._file is None:
                self._file = _Nameless()
            self._end += -self._end % _ALIGNMENT
            data = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
            done = 0
            while done < len(data):
                done += os.pwrite(self._file.descriptor, data[done:], self._end + done)
        except OSError as error:
            raise ConversionError(
                f"{tempfile.gettempdir()}: cannot be written to: {error.strerror}; free space there, or set TMPDIR to "
                "another folder"
            ) from error
        spilled = Spilled(self._file, self._end, array.shape, array.dtype)
        self._end += len(data)
        return spilled

    def map(self, places: Sequence[Spilled]) -> list[Array]:
        """Arrays of this file, read-only, in memory only where they are read (see `release_mapped`)."""
        if self._file is None or not self._end:
            return [place.read() for place in places]
        pages = mmap.mmap(self._file.descriptor, self._end, access=mmap.ACCESS_READ)
        _MAPS.add(pages)
        return [
            np.frombuffer(pages, place.dtype, int(np.prod(place.shape)), place.place).reshape(place.shape)
            for place in places
        ]
