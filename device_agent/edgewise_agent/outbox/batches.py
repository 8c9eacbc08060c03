"""Records on their way: one of them, and those that travel together in one publish."""

from dataclasses import dataclass
from itertools import groupby

BATCH_RECORDS = 100
BATCH_BYTES = 48 * 1024
"""A fifth of what a receiver accepts in one message (edgewise_messages.codec.MAX_MESSAGE_BYTES)."""


@dataclass(frozen=True)
class Entry:
    """One record on its way to the broker: its sequence number, its channel, the encoded record."""

    seq: int
    channel: str
    body: bytes


@dataclass(frozen=True)
class Batch:
    """Records of one channel that travel in one publish."""

    channel: str
    bodies: tuple[bytes, ...]
    sequences: tuple[int, ...]

    def one_by_one(self) -> "list[Batch]":
        """The same records, each in a batch of its own."""
        return [
            Batch(self.channel, (body,), (seq,))
            for body, seq in zip(self.bodies, self.sequences, strict=True)
        ]


def make_batches(entries: list[Entry]) -> list[Batch]:
    """By channel, in the order of their numbers, each within the limits of a publish."""
    ordered = sorted(entries, key=lambda entry: (entry.channel, entry.seq))
    return [
        Batch(channel, tuple(entry.body for entry in part), tuple(entry.seq for entry in part))
        for channel, group in groupby(ordered, key=lambda entry: entry.channel)
        for part in cut(list(group), BATCH_RECORDS, BATCH_BYTES)
    ]


def cut(entries: list[Entry], most_records: int, most_bytes: int) -> list[list[Entry]]:
    """In parts within both limits; a larger record makes a part alone."""
    parts: list[list[Entry]] = []
    size = 0
    for entry in entries:
        size += len(entry.body)
        if not parts or size > most_bytes or len(parts[-1]) == most_records:
            parts.append([])
            size = len(entry.body)
        parts[-1].append(entry)
    return parts
