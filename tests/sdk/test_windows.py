"""A copy of a stream's windows goes on where the original is, and neither changes the other."""

from collections.abc import Callable

import numpy as np
import pytest

from edgewise.series_card import SeriesPreprocess
from edgewise.streams import Block, SensorBlock
from edgewise.streams.windows import SeriesWindows, SoundWindows, Windows
from edgewise.tensors import Array

SPEC = SeriesPreprocess(rate_hz=50.0, window=20, stride=7, channels=("x", "y"))


def sound(samples: Array, number: int) -> Block:
    return Block(samples.astype(np.float32), 44_100, number, 0.0, "test")


def rows(samples: Array, number: int) -> SensorBlock:
    return SensorBlock(samples.astype(np.float32).reshape(-1, 2), 50.0, number, 0.0, "test")


def windows_of(windows: Windows, items: list[Block | SensorBlock]) -> list[Array]:
    return [np.array(window) for item in items for window in windows.push(item)]


@pytest.mark.parametrize(
    ("make", "item"),
    [(lambda: SoundWindows(1000, 16_000, 44_100), sound), (lambda: SeriesWindows(SPEC), rows)],
    ids=["sound at another rate", "series"],
)
def test_a_copy_goes_on_alike_also_in_another_models_windows(
    make: Callable[[], Windows], item: Callable[[Array, int], Block | SensorBlock]
) -> None:
    random = np.random.default_rng(0)
    items = [item(random.uniform(-0.5, 0.5, 514), number) for number in range(40)]
    live = make()
    windows_of(live, items[:13])
    kept = live.copy()
    wanted = windows_of(live, items[13:])
    other = make()
    assert other.go_on_from(kept)
    found = windows_of(other, items[13:])
    assert len(wanted) > 5 and all(np.array_equal(a, b) for a, b in zip(wanted, found, strict=True))


def test_windows_that_are_cut_otherwise_are_not_taken_over() -> None:
    series = SeriesWindows(SPEC)
    assert not SoundWindows(1000, 16_000, 44_100).go_on_from(series)
    assert not series.go_on_from(SoundWindows(1000, 16_000, 44_100))
    assert not SoundWindows(1000, 16_000, 44_100).go_on_from(SoundWindows(2000, 16_000, 44_100))
    assert not SeriesWindows(
        SeriesPreprocess(rate_hz=50.0, window=20, stride=8, channels=("x", "y"))
    ).go_on_from(series)
