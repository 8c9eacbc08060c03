"""Inputs that the fleet asks devices for: asked, heard in parts, checked, kept within limits."""

from edgewise_fleet.snapshots.book import Limits, SnapshotBook
from edgewise_fleet.snapshots.choose import open_snapshots
from edgewise_fleet.snapshots.desk import SnapshotDesk
from edgewise_fleet.snapshots.kept import KeptSnapshot, State

__all__ = ["KeptSnapshot", "Limits", "SnapshotBook", "SnapshotDesk", "State", "open_snapshots"]
