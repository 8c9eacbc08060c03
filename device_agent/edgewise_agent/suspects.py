"""Which record makes the broker end the connection, found without taking a bad network for a bad record.

Brokers work through publishes in the order they were sent (MQTT 5, 4.6), so when one ends a connection that
worked, the oldest publish without an answer may be why. After two such ends its records are sent alone, after
three more a record that was alone each time is condemned. Anything acknowledged is cleared at once.
"""

from collections import Counter

from edgewise_agent.batches import Batch

TOGETHER = 2
"""Ends after which the records of a publish are sent one by one."""
ALONE = 3
"""Ends that condemn a record sent alone."""
_MOST = 10_000


class Suspects:
    """Counts ends of connections by record, for as long as the process lives."""

    def __init__(self) -> None:
        self._together: Counter[int] = Counter()
        self._alone: Counter[int] = Counter()

    def separate(self, batch: Batch) -> list[Batch]:
        """The batch as it is to be sent: in single records if one of them is suspect."""
        suspect = any(self._together[seq] >= TOGETHER or self._alone[seq] for seq in batch.sequences)
        return batch.one_by_one() if suspect else [batch]

    def ended_at(self, batch: Batch) -> bool:
        """The broker ended the connection with this one the oldest unanswered; True when that condemns it."""
        if len(self._together) > _MOST:
            self._together.clear()
        if len(batch.sequences) > 1:
            self._together.update(batch.sequences)
            return False
        (seq,) = batch.sequences
        self._alone[seq] += 1
        return self._alone[seq] >= ALONE

    def clear(self, batch: Batch) -> None:
        """The broker took it, or it was put aside."""
        for seq in batch.sequences:
            self._together.pop(seq, None)
            self._alone.pop(seq, None)
