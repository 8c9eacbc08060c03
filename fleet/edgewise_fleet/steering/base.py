"""The seams: who keeps the registry, and who keeps the rollouts. Every method may be called from any thread."""

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
        self, rollout: Rollout, changed: Sequence[DeviceProgress] = (), decisions: Sequence[Decision] = ()
    ) -> bool:
        """All of it or nothing. False when somebody saved a later state than ``rollout`` was made from."""

    def history(self, rollout_id: str) -> tuple[Decision, ...]:
        """Oldest first."""
