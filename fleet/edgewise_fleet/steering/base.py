"""The seams: who keeps the registry, who keeps the rollouts, whose turn it is. To be called from any thread."""

from collections.abc import Sequence
from typing import Protocol

from edgewise_fleet.rollouts.state import Decision, DeviceProgress, Rollout
from edgewise_fleet.steering.entries import DeviceEntry
from edgewise_messages import DeviceAddress


class Registry(Protocol):
    """The owner's entries."""

    def entries(self) -> tuple[DeviceEntry, ...]:
        """All, by group and device."""

    def put(self, entries: Sequence[DeviceEntry]) -> None:
        """Add or replace, all or none."""

    def remove(self, address: DeviceAddress) -> bool:
        """Whether there was one."""


class RolloutStore(Protocol):
    """Rollouts, their devices and every decision."""

    def rollouts(self) -> tuple[Rollout, ...]:
        """All, oldest first."""

    def progress(self, rollout_id: str) -> dict[DeviceAddress, DeviceProgress]:
        """The devices of one."""

    def save(
        self,
        rollout: Rollout,
        changed: Sequence[DeviceProgress] = (),
        decisions: Sequence[Decision] = (),
        *,
        beside: int | None = None,
    ) -> bool:
        """All of it or nothing. False when somebody saved a later state than ``rollout`` was made from.

        Of a new one also when there are more than ``beside`` others: somebody else began one meanwhile.
        """

    def history(self, rollout_id: str) -> tuple[Decision, ...]:
        """Oldest first."""


class Turn(Protocol):
    """Who carries rollouts out, of all servers on one store: exactly one that has a key."""

    def take_turn(self) -> bool:
        """Whether it is this process. Its turn lasts until it ends or loses the store; ask before each look."""

    def is_turn_taken(self) -> bool:
        """Whether any process has it."""
