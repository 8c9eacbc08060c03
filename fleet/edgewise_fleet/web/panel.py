"""All that the pages and the API read and change, in one value."""

from dataclasses import dataclass

from edgewise_fleet.access import Gate
from edgewise_fleet.alerts import AlertBook, AlertWatch, RuleFile
from edgewise_fleet.rollouts_view import RolloutsView
from edgewise_fleet.snapshots import SnapshotDesk
from edgewise_fleet.view import FleetView


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Made by the server, shared by all requests."""

    view: FleetView
    gate: Gate
    book: AlertBook
    rules: RuleFile
    watch: AlertWatch
    rollouts: RolloutsView
    snapshots: SnapshotDesk | None = None
    """None where nothing may be asked for or shown."""
    trusted_hosts: tuple[str, ...] = ()
    any_host: bool = False
