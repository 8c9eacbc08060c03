"""Gives records their time once it is known: those made before this board's clock was set.

A record keeps its monotonic time. When the clock gets set, the difference between the two clocks is written down for
this boot of the kernel, and from then on every record of it that says `unsynced` is sent with its real time, also
after a restart of the agent or of the board. Only what is sent is changed, never the file: a kill at any point
leaves a record that is stamped again the next time. A boot whose clock was never set stays unsynced.
"""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from edgewise_agent.clock import TimeSource
from edgewise_agent.outbox.batches import Entry
from edgewise_agent.outbox.tables import BootClock
from edgewise_messages import Clock, MessageError, decode_record, encode_record

_KERNEL_BOOT = Path("proc/sys/kernel/random/boot_id")
_NS_PER_MS = 1_000_000


class _Stamp(msgspec.Struct, frozen=True):
    """The part of a record that is looked at."""

    boot: str = ""
    clock: Clock = Clock.UNSYNCED


_read_stamp = msgspec.json.Decoder(_Stamp).decode


class Restamper:
    """Knows the clocks of this boot and of earlier ones. Used by one thread at a time."""

    def __init__(
        self, clock: TimeSource, *, boot: str, kernel_boot: str = "", earlier: Iterable[BootClock] = ()
    ) -> None:
        """``kernel_boot`` tells boots of the board from restarts of the agent; empty when that is not known."""
        self._clock = clock
        self._kernel_boot = kernel_boot or boot
        self._boots = {one.boot: one for one in earlier}
        self._boots[boot] = BootClock(boot, self._kernel_boot)
        self._is_set = False

    @property
    def is_needed(self) -> bool:
        """True while some boot's offset is known: else there is nothing to stamp with."""
        return any(one.offset_ms is not None for one in self._boots.values())

    def look(self) -> list[BootClock]:
        """The clocks of this boot when they have just become known; they are to be saved."""
        state = self._clock.state()
        if self._is_set or state is Clock.UNSYNCED:
            return []
        self._is_set = True
        offset_ms = self._clock.now_ms() - self._clock.mono_ns() // _NS_PER_MS
        found = [
            BootClock(one.boot, one.kernel_boot, offset_ms, state.value)
            for one in self._boots.values()
            if one.kernel_boot == self._kernel_boot
        ]
        self._boots.update({one.boot: one for one in found})
        return found

    def first_save(self) -> list[BootClock]:
        """This boot, to be remembered before its clock is known."""
        return [one for one in self._boots.values() if one.kernel_boot == self._kernel_boot]

    def restamp(self, entries: list[Entry]) -> list[Entry]:
        """The same records; the unsynced ones whose boot's clock is known with their time."""
        return [self._one(entry) for entry in entries] if self.is_needed else entries

    def _one(self, entry: Entry) -> Entry:
        try:
            stamp = _read_stamp(entry.body)
            known = self._boots.get(stamp.boot)
            if stamp.clock is not Clock.UNSYNCED or known is None or known.offset_ms is None:
                return entry
            record = decode_record(entry.body)
            ts_ms = max(known.offset_ms + record.mono_ns // _NS_PER_MS, 0)
            stamped = msgspec.structs.replace(
                record, ts_ms=ts_ms, clock=Clock(known.clock or Clock.NTP), restamped=True
            )
            return Entry(entry.seq, entry.channel, encode_record(stamped))
        except (MessageError, msgspec.MsgspecError, ValueError):  # not a record: not for us to judge
            return entry


def kernel_boot_id(root: Path = Path("/")) -> str:
    """This boot of the kernel, the same for every process in it; empty where it is not told."""
    try:
        return (root / _KERNEL_BOOT).read_text().strip()
    except OSError:
        return ""
