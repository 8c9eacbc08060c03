"""Inputs that rules keep on the device."""

from edgewise_agent.snapshots.encoding import Encoded, encode_input
from edgewise_agent.snapshots.settings import SnapshotSettings
from edgewise_agent.snapshots.store import Erased, Snapshot, SnapshotStore

__all__ = ["Encoded", "Erased", "Snapshot", "SnapshotSettings", "SnapshotStore", "encode_input"]
