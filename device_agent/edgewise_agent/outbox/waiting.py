"""What waits in memory for the next commit. Not safe between threads: outbox.py locks around it."""

from collections.abc import Collection

from edgewise_agent.outbox.batches import Entry


class Waiting:
    """Records by number, oldest first, and how many bytes they are."""

    def __init__(self) -> None:
        self._entries: dict[int, Entry] = {}
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Entry) -> None:
        """Take one more; its number is above all others."""
        self._entries[entry.seq] = entry
        self.size_bytes += len(entry.body)

    def forget(self, seq: int) -> None:
        """It is on the disk, or with the broker."""
        entry = self._entries.pop(seq, None)
        if entry is not None:
            self.size_bytes -= len(entry.body)

    def entries(self, *, after: int = 0) -> list[Entry]:
        """Those with a higher number, in their order."""
        return [entry for seq, entry in self._entries.items() if seq > after]

    def has_after(self, seq: int) -> bool:
        """True when `entries` would find something."""
        return any(number > seq for number in self._entries)

    def thin(self, *, spare: Collection[int]) -> int:
        """Drop every second one of the older half, apart from ``spare``; return how many."""
        sequences = list(self._entries)
        victims = [seq for seq in sequences[1 : max(len(sequences) // 2, 2) : 2] if seq not in spare]
        for seq in victims:
            self.forget(seq)
        return len(victims)
