"""What was heard and is not yet stored: bounded in messages and in bytes."""

import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from edgewise_fleet.message import Message
from edgewise_fleet.store import Arrival

MOST_MESSAGES = 10_000
MOST_BYTES = 8 * 1024 * 1024
"""Of payloads. Read, they take six times as much (twelve at worst): hence some 50 MB while the store is slow."""
BATCH_MESSAGES = 5_000
BATCH_BYTES = MOST_BYTES // 2
"""Half of what there is room for: the other half fills while a batch is being written."""
GATHER_S = 0.02
"""How long a commit waits for company. Brokers send 20 unacknowledged messages by default, so a longer wait
would not gather more, only slow down."""


class Waiting(NamedTuple):
    """A message and what it says."""

    message: Message
    arrivals: tuple[Arrival, ...]
    is_ours: bool
    """Whether its sender waits for our acknowledgement."""


class Inbox:
    """Filled by the threads that hear, emptied by the one that stores."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._pieces: deque[Sequence[Waiting]] = deque()
        self._messages = self._bytes = 0
        self._taken_messages = self._taken_bytes = 0
        self._closed = False

    def __len__(self) -> int:
        return self._messages

    def has_room(self) -> bool:
        """Whether anything more should be heard just now; what is being stored takes room too."""
        return (
            not self._closed
            and self._messages + self._taken_messages < MOST_MESSAGES
            and self._bytes + self._taken_bytes < MOST_BYTES
        )

    def put(self, piece: Sequence[Waiting], *, waits: bool) -> None:
        """Add it, if need be after it ``waits`` for room; what comes after `close` is dropped."""
        with self._changed:
            while waits and not self._closed and not self.has_room():
                self._changed.wait()
            if self._closed or not piece:
                return
            self._pieces.append(piece)
            self._messages += len(piece)
            self._bytes += sum([len(one.message.payload) for one in piece])
            self._changed.notify_all()

    def take(self) -> list[Waiting]:
        """The next batch, some time after its first message; nothing is left when it is empty."""
        with self._changed:
            while not self._pieces and not self._closed:
                self._changed.wait()
            deadline = time.monotonic() + GATHER_S
            while not self._closed and self._messages < BATCH_MESSAGES and self._bytes < BATCH_BYTES:
                if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                    break
            return self._take()

    def done(self) -> None:
        """The batch taken last is dealt with: there is room for more."""
        with self._changed:
            self._taken_messages = self._taken_bytes = 0
            self._changed.notify_all()

    def close(self) -> None:
        """Take nothing more; what is there can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _take(self) -> list[Waiting]:
        batch: list[Waiting] = []
        size = 0
        while self._pieces and len(batch) < BATCH_MESSAGES and size < BATCH_BYTES:
            piece = self._pieces.popleft()
            batch += piece
            size += sum([len(one.message.payload) for one in piece])
        self._messages -= len(batch)
        self._bytes -= size
        self._taken_messages, self._taken_bytes = len(batch), size
        return batch
