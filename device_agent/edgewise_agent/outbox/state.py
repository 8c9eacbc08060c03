"""What the outbox tells about itself."""

from dataclasses import dataclass

from edgewise_messages import Severity


@dataclass(frozen=True)
class OutboxState:
    """What the outbox tells about itself."""

    records: int
    size_bytes: int
    dropped: int
    disk_refuses: bool
    quarantined: int = 0
    written_per_day_bytes: int | None = None


@dataclass(frozen=True)
class Notice:
    """What an operator should hear about the outbox: an event's name, its words, and how much it matters."""

    name: str
    message: str
    severity: Severity = Severity.WARNING


def written_metrics(state: OutboxState) -> dict[str, int]:
    """Telemetry of what is written, once there is something to go by."""
    pace = state.written_per_day_bytes
    return {} if pace is None else {"agent.written_bytes_per_day": pace}
