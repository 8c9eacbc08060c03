"""An outbox as the settings ask for it, and its records' time."""

from pathlib import Path

from edgewise_agent.clock import TimeSource
from edgewise_agent.outbox.outbox import Outbox
from edgewise_agent.outbox.replay_rate import ReplayRate
from edgewise_agent.outbox.restamp import Restamper, kernel_boot_id
from edgewise_agent.outbox.write_budget import WriteBudget
from edgewise_agent.settings.config import OutboxSettings

_MIB = 1024 * 1024


def open_outbox(path: Path, settings: OutboxSettings) -> Outbox:
    """Raises OutboxError when the disk refuses to hold one. Closed by the caller."""
    budget = WriteBudget(
        settings.write_budget_mb_per_day * _MIB, longest_interval_s=settings.commit_interval_max_s
    )
    return Outbox(
        path,
        max_bytes=settings.max_mb * _MIB,
        replay=ReplayRate(settings.replay_records_per_s),
        budget=budget,
    )


def stamp_records(outbox: Outbox, clock: TimeSource, *, boot: str) -> None:
    """From now on records made before the clock was set go out with their real time, once that is known."""
    outbox.stamp_with(Restamper(clock, boot=boot, kernel_boot=kernel_boot_id(), earlier=outbox.boots()))
