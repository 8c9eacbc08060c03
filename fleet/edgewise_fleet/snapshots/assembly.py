"""Parts of one snapshot, put together within bounds. No clock, no store, no broker."""

from dataclasses import dataclass, field

from edgewise_fleet.errors import SnapshotProblem
from edgewise_messages import MessageError, SnapshotChunk, join_snapshot

MAX_BYTES = 8 * 1024 * 1024
"""Of one snapshot: what the agent sends at most."""


@dataclass
class Assembly:
    """What arrived of one request."""

    request: str
    parts: dict[int, SnapshotChunk] = field(default_factory=dict)
    held_bytes: int = 0

    def add(self, chunk: SnapshotChunk) -> bool:
        """Whether it is whole now. Raises SnapshotProblem for a part that cannot be one of it."""
        if chunk.request != self.request:
            raise SnapshotProblem(f"a part answers {chunk.request!r}, expected {self.request!r}")
        if chunk.size_bytes > MAX_BYTES:
            raise SnapshotProblem(f"it says {chunk.size_bytes} bytes, expected at most {MAX_BYTES}")
        if chunk.index >= chunk.count:
            raise SnapshotProblem(f"got part {chunk.index + 1} of {chunk.count}")
        if self.parts and chunk.count != next(iter(self.parts.values())).count:
            raise SnapshotProblem("its parts do not say the same number of parts")
        if chunk.index not in self.parts:
            # A part without content would be free to send, and cost an entry: one byte at least, and so few parts.
            if not chunk.part or self.held_bytes + len(chunk.part) > chunk.size_bytes:
                raise SnapshotProblem("its parts are more, or less, than the size it says")
            self.parts[chunk.index] = chunk
            self.held_bytes += len(chunk.part)
        return len(self.parts) == chunk.count

    def join(self) -> bytes:
        """All of it, by its digest. Raises SnapshotProblem."""
        try:
            return join_snapshot(self.parts.values())
        except MessageError as error:
            raise SnapshotProblem(str(error)) from error

    def progress(self) -> str:
        """How much of it there is, in words."""
        if not self.parts:
            return "no part arrived"
        return f"{len(self.parts)} of {next(iter(self.parts.values())).count} parts arrived"
