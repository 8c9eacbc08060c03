"""Which record makes the broker end the connection, found without taking a bad network for a bad record.

When a broker ends a connection that worked, anything under way may be why; also what it had acknowledged, as the
acknowledgement can be lost with the connection. So what was under way at two such ends is sent record by record, each
alone under way, and a record that was alone at three ends is condemned. Anything acknowledged is cleared at once.
"""

from collections import Counter
from collections.abc import Sequence

from edgewise_agent.outbox.batches import Batch

TOGETHER = 2
"""Ends after which records are sent alone."""
ALONE = 3
"""Ends that condemn a record sent alone."""
_MOST = 10_000


class Suspects:
    """Counts ends of connections by record, for as long as the process lives."""

    def __init__(self) -> None:
        self._together: Counter[int] = Counter()
        self._alone: Counter[int] = Counter()

    def include(self, batch: Batch) -> bool:
        """True when it must be the only one under way."""
        return any(self._together[seq] >= TOGETHER or self._alone[seq] for seq in batch.sequences)

    def separate(self, batch: Batch) -> list[Batch]:
        """The batch as it is to be sent: in single records if one of them is suspect."""
        return batch.one_by_one() if self.include(batch) else [batch]

    def ended_with(self, under_way: Sequence[Batch]) -> Batch | None:
        """The broker ended the connection with these under way; the batch that is condemned by that."""
        if len(self._together) > _MOST:
            self._together.clear()
        if len(under_way) == 1 and len(under_way[0].sequences) == 1:
            (seq,) = under_way[0].sequences
            self._alone[seq] += 1
            return under_way[0] if self._alone[seq] >= ALONE else None
        for batch in under_way:
            self._together.update(batch.sequences)
        return None

    def clear(self, batch: Batch) -> None:
        """The broker took it, or it was put aside."""
        for seq in batch.sequences:
            self._together.pop(seq, None)
            self._alone.pop(seq, None)
