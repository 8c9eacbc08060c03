"""All that the pages and the API read and change, in one value."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgewise_fleet.access import Gate
from edgewise_fleet.alerts import AlertBook, AlertWatch, RuleFile
from edgewise_fleet.rollouts_view import RolloutsView
from edgewise_fleet.snapshots import SnapshotDesk
from edgewise_fleet.steering.positions import Position
from edgewise_fleet.view import FleetView
from edgewise_messages import DeviceAddress


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Made by the server, shared by all requests."""

    view: FleetView
    gate: Gate
    book: AlertBook
    rules: RuleFile
    watch: AlertWatch
    rollouts: RolloutsView
    positions: Callable[[], Mapping[DeviceAddress, Position]] = dict
    """Where devices are, of those whose location says it."""
    snapshots: SnapshotDesk | None = None
    """None where nothing may be asked for or shown."""
    trusted_hosts: tuple[str, ...] = ()
    any_host: bool = False
