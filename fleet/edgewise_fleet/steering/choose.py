"""The registry and rollouts of the store that an address names."""

from pathlib import Path

from edgewise_fleet.steering.kept import KeptSteering
from edgewise_fleet.steering.sqlite import SqliteSteering
from edgewise_fleet.store import is_postgres


def open_steering(address: str, *, create: bool = True) -> KeptSteering:
    """Of postgresql://... or a file. Raises StoreUnusable; without ``create`` also for a store that is not there."""
    if is_postgres(address):
        from edgewise_fleet.steering.postgres import PostgresSteering

        return PostgresSteering(address, create=create)
    return SqliteSteering(Path(address), create=create)
