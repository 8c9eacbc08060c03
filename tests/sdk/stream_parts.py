"""A source that tests drive frame by frame, and pictures that the tiny model knows."""

import threading
import time

import numpy as np

from edgewise.errors import SourceError
from edgewise.streams import Frame
from edgewise.tensors import Array

COLOURS = ("red", "green", "blue")


def field(index: int) -> Array:
    """A picture all in one of the colours."""
    image = np.zeros((12, 16, 3), np.uint8)
    image[:, :, index % 3] = 255
    return image


class Steps:
    """A source that gives a frame when it is told to, and says when its reader asks for the next one."""

    name = "steps"
    is_live = False

    def __init__(self, *, fails_at: int | None = None) -> None:
        self.asked = threading.Semaphore(0)
        self._allowed = threading.Semaphore(0)
        self._fails_at = fails_at
        self._count = 0
        self.is_open = False
        self.reads = 0

    def give(self, count: int = 1) -> None:
        """Give that many, and wait until the reader has them all and asks for one more."""
        for _ in range(count):
            self._allowed.release()
            assert self.asked.acquire(timeout=60)

    def open(self) -> None:
        self.is_open = True

    def read(self) -> Frame | None:
        self.reads += 1
        self.asked.release()
        self._allowed.acquire()
        if not self.is_open:
            return None
        index, self._count = self._count, self._count + 1
        if index == self._fails_at:
            raise SourceError("steps: the cable came out")
        return Frame(field(index), index, time.monotonic(), self.name)

    def close(self) -> None:
        self.is_open = False
        self._allowed.release()
