"""Inputs that others send: a bounded queue between who receives them and the pipeline that reads them."""

import logging
import queue
import threading
import time
from typing import Protocol

from edgewise.errors import InvalidInput, UnreadableImage
from edgewise.streams import Block, Frame, SensorBlock
from edgewise.streams.clock import SLICE_S
from edgewise.streams.source import SourceBase
from edgewise_agent.sources.payloads import read_payload

MOST_WAITING = 8
"""Inputs that wait for the model; a newer one drives out the oldest, which counts as dropped."""

log = logging.getLogger("edgewise.agent.sources")


class Receiver(Protocol):
    """Where inputs arrive."""

    def start(self, inbox: "Inbox") -> None:
        """Begin to receive. Raises edgewise.errors.SourceError."""

    def stop(self) -> None:
        """End it; no thread is left."""


class Inbox:
    """Safe between threads. It never blocks who puts."""

    def __init__(self, most: int = MOST_WAITING) -> None:
        self._queue: queue.Queue[bytes] = queue.Queue(most)
        self._lock = threading.Lock()
        self.dropped = 0

    def put(self, data: bytes) -> bool:
        """False when an older input had to go for it."""
        with self._lock:
            had_room = not self._queue.full()
            if not had_room:
                self._queue.get_nowait()
                self.dropped += 1
            self._queue.put_nowait(data)
            return had_room

    def get(self, timeout_s: float) -> bytes | None:
        """The oldest, None when there is none so long."""
        try:
            return self._queue.get(timeout=timeout_s)
        except queue.Empty:
            return None


class PushedSource(SourceBase[Frame | Block | SensorBlock]):
    """Reads what a receiver gets. It does not end by itself.

    What cannot be read is counted in ``refused``, and the log says why.
    """

    is_live = False

    def __init__(self, name: str, receiver: Receiver) -> None:
        super().__init__(name)
        self._receiver = receiver
        self._inbox = Inbox()
        self.refused = 0

    @property
    def dropped(self) -> int:
        """Inputs that came while others waited, and were driven out."""
        return self._inbox.dropped

    def _start(self) -> None:
        self._receiver.start(self._inbox)

    def _next(self, index: int) -> Frame | Block | SensorBlock | None:
        while not self._closing.is_set():
            data = self._inbox.get(SLICE_S)
            if data is None:
                continue
            try:
                return read_payload(data, index=index, time_s=time.monotonic(), source=self.name)
            except (InvalidInput, UnreadableImage) as error:
                self.refused += 1
                log.warning("refused: %s", error)
        return None

    def _stop(self) -> None:
        self._receiver.stop()
