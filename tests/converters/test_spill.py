"""Arrays on the disk come back as they were, and a full disk is said in words."""

import os
import resource
import signal
from pathlib import Path

import numpy as np
import pytest

from edgewise_converters.errors import ConversionError
from edgewise_converters.spill import Spill, release_mapped


def arrays() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [
        rng.standard_normal((3, 5)).astype(np.float32),
        rng.integers(-128, 128, (7,)).astype(np.int8),
        np.asfortranarray(rng.standard_normal((4, 6))),
        np.zeros((0, 3), np.int32),
        np.array(2.5, np.float32),
    ]


def test_what_is_put_comes_back() -> None:
    spill = Spill()
    places = [spill.put(array) for array in arrays()]
    for place, array in reversed(list(zip(places, arrays(), strict=True))):
        back = place.read()
        assert back.dtype == array.dtype and back.shape == array.shape and np.array_equal(back, array)
        assert back.flags.writeable


def test_mapped_arrays_survive_the_release_of_their_pages() -> None:
    given = arrays()
    spill = Spill()
    mapped = spill.map([spill.put(array) for array in given])
    for _ in range(2):
        for back, array in zip(mapped, given, strict=True):
            assert back.dtype == array.dtype and np.array_equal(back, array)
        release_mapped()
    with pytest.raises(ValueError, match="read-only"):
        mapped[0][0, 0] = 1


def test_released_pages_are_out_of_memory() -> None:
    pages = Path("/proc/self/smaps_rollup")
    if not pages.exists():
        pytest.skip("tells resident pages on Linux only")
    size = 64 << 20
    spill = Spill()
    [mapped] = spill.map([spill.put(np.ones(size, np.uint8))])
    assert mapped.sum() == size

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    before = resident()
    release_mapped()
    assert before - resident() > size // 2
    assert mapped.sum() == size


def test_a_full_disk_is_said_in_words() -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    spill = Spill()
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
    try:
        with pytest.raises(ConversionError, match=r"File too large; free space there, or set TMPDIR"):
            spill.put(np.zeros(1 << 20, np.uint8))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)
