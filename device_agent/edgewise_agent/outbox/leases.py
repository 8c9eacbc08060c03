"""Which records are with the courier, which the broker has, and where to go on reading.

Two places in the file are read from. What was recorded after the connection began is live and goes first; what
was there before is replayed behind it, oldest first. Not safe between threads: outbox.py locks around it.
"""

from collections.abc import Iterable

from edgewise_agent.outbox.batches import Entry


class Leases:
    """The places to read on from, and the numbers that are not to be given out."""

    def __init__(self, last_seq: int) -> None:
        """``last_seq`` is the newest number in the file: all up to it is replay."""
        self.under_way: set[int] = set()
        self.settled: set[int] = set()
        self.live_after = last_seq
        self.replay_after = 0
        self.replay_up_to = last_seq

    @property
    def has_replay(self) -> bool:
        """True while something of before may be left."""
        return self.replay_after < self.replay_up_to

    def lease(self, entries: Iterable[Entry]) -> list[Entry]:
        """Those that nobody has yet; they count as under way from now on."""
        taken = self.settled, self.under_way
        free = [entry for entry in entries if not any(entry.seq in those for those in taken)]
        self.under_way.update(entry.seq for entry in free)
        return free

    def settle(self, sequences: Iterable[int]) -> None:
        """The broker has them."""
        self.settled.update(sequences)
        self.under_way.difference_update(sequences)

    def give_back(self, sequences: Iterable[int]) -> None:
        """They are not under way any more, and come out again after `rewind` or `begin`."""
        self.under_way.difference_update(sequences)

    def rewind(self) -> None:
        """Go through everything once more that is neither settled nor under way."""
        self.replay_after = 0
        self.replay_up_to = max(self.replay_up_to, self.live_after)

    def begin(self, last_seq: int) -> None:
        """A new connection: nothing is under way, and what the file holds by now is replay."""
        self.under_way.clear()
        self.replay_after = 0
        self.live_after = self.replay_up_to = last_seq

    def start_over(self) -> None:
        """The file was replaced by an empty one: everything in it will be new."""
        self.settled.clear()
        self.live_after = self.replay_after = self.replay_up_to = 0
