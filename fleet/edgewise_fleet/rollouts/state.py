"""What is remembered of a rollout: its plan, how far it is, how far each device is, and why. Data only."""

from enum import StrEnum

import msgspec

from edgewise_messages import DeviceAddress


class Phase(StrEnum):
    """Of a whole rollout."""

    RUNNING = "running"
    PAUSED = "paused"
    """Nobody new is told; whoever was told is judged on."""
    HALTING = "halting"
    """Being taken back from every device that has it."""
    HALTED = "halted"
    """Nobody has it any more."""
    DONE = "done"


class DevicePhase(StrEnum):
    """Of one device in a rollout."""

    PENDING = "pending"
    TOLD = "told"
    UPDATED = "updated"
    """Runs the new model, and is watched."""
    CONFIRMED = "confirmed"
    FAILED = "failed"
    RECALLED = "recalled"
    """Told to go back."""
    BACK = "back"
    LEFT_OUT = "left-out"
    """Never had it when the rollout was halted."""


class Gates(msgspec.Struct, frozen=True, kw_only=True):
    """What a device may show before it counts as failed, beside its own verdict, which always counts."""

    max_slowdown: float = 1.5
    """Most times the p95 latency it had before; differences below 1 ms never count."""
    max_p95_ms: float | None = None
    """And at most this: what the model's card promises for such a board."""
    max_error_rate: float = 0.05
    """Most errors per input since the switch, above those before."""
    max_drift_moved: int = 3
    """Most statistics that may drift, above those before."""
    throttling: bool = True
    """Whether a board that throttles, and did not before, is a failure."""
    silence_s: float = 120.0
    """A device that was told or updated and is not heard for so long has failed."""
    update_s: float = 1800.0
    """So long it may take, while it is heard, to run what it was told."""
    verdict_s: float = 3600.0
    """So long after the switch the device may take for a verdict of its own; then these gates alone decide."""
    max_failed_share: float = 0.0
    """Of the devices told after the canary stage; in the canary stage one failure halts."""


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """How many devices have the model at the stage's end; one of the two is set."""

    canary: int | None = None
    percent: float | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done; never changes."""

    target: str
    sha256: str
    version: int = 0
    group: str | None = None
    tags: dict[str, str] = {}
    pipeline: str = ""
    stages: tuple[Stage, ...]
    hold_s: float = 600.0
    """How long a stage is watched after the last of its devices was confirmed."""
    at_once: int = 50
    """Most devices between being told and their verdict."""
    older: bool = False
    again: bool = False
    gates: Gates = Gates()


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """One rollout, less its devices."""

    id: str
    created_ms: int
    plan: Plan
    phase: Phase = Phase.RUNNING
    stage: int = 0
    held_since_ms: int = 0
    """Since when every device of the stage is confirmed; 0: not yet."""
    reason: str = ""
    ended_ms: int = 0
    version: int = 0
    """Of the stored state; 0 is not stored yet."""


class Before(msgspec.Struct, frozen=True, kw_only=True):
    """What a device was like when it was told."""

    sha256: str = ""
    p95_ms: float | None = None
    error_rate: float = 0.0
    drift_moved: float = 0.0
    is_throttled: bool = False


class DeviceProgress(msgspec.Struct, frozen=True, kw_only=True):
    """One device in a rollout."""

    group: str
    device: str
    phase: DevicePhase = DevicePhase.PENDING
    stage: int = 0
    """The stage in which it was told."""
    command_id: str = ""
    command: str = ""
    """set-model or rollback: what it was told last."""
    issued_ms: int = 0
    sent_ms: int = 0
    answered: bool = False
    """Whether that command was done."""
    told_ms: int = 0
    updated_ms: int = 0
    ended_ms: int = 0
    before: Before = Before()
    counted_inputs: float = 0.0
    counted_errors: float = 0.0
    """The counters when the new model was first seen to run."""
    strikes: int = 0
    """Reports in a row that were over a limit which one report may be over by chance."""
    heard_ms: int = 0
    """The report that was judged last."""
    reason: str = ""

    @property
    def address(self) -> DeviceAddress:
        """Group and device."""
        return DeviceAddress(self.group, self.device)


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the history."""

    at_ms: int
    what: str
    reason: str = ""
    device: str = ""
    """group/device; empty for the rollout itself."""
