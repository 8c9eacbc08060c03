"""What the fleet may ask for: a snapshot, or that all of them are erased."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgewise_agent.privacy.audit import Head
from edgewise_agent.privacy.destinations import Destination
from edgewise_agent.privacy.gate import Gate, Refusal
from edgewise_agent.snapshots.store import SnapshotStore
from edgewise_messages.snapshots import SnapshotChunk, split_snapshot

MAX_SENT_BYTES = 8 * 1024 * 1024
"""What is being sent waits in memory."""


@dataclass(frozen=True)
class SnapshotAnswer:
    """What is to be published on the snapshot channel."""

    chunks: tuple[SnapshotChunk, ...]
    message: str
    """For the response to the command."""
    audit: Head


def answer_snapshot_request(
    arguments: Mapping[str, Any], *, request: str, store: SnapshotStore, gate: Gate, to: Destination
) -> SnapshotAnswer | Refusal:
    """A snapshot by its ``id``, or the latest, of one ``rule`` or of any; through the gate.

    ``request`` is the command's id. Every failure is a refusal.
    """
    unknown = sorted(set(arguments) - {"id", "rule"})
    if unknown:
        return Refusal(f"got the argument {unknown[0]!r}, expected id or rule")
    wanted, rule = arguments.get("id"), arguments.get("rule")
    found = [one for one in store.list() if wanted in (None, one.id) and rule in (None, one.rule)]
    if not found:
        what = f"{wanted!r}" if wanted else f"of rule {rule!r}" if rule else "at all"
        return Refusal(f"there is no snapshot {what} on this device")
    one = found[-1]
    try:
        given = one.encoded()
    except (OSError, ValueError) as error:
        return Refusal(f"snapshot {one.id} cannot be read: {error}")
    payload = gate.release(given, to=to, why=f"command {request}", snapshot=one.id, max_bytes=MAX_SENT_BYTES)
    if isinstance(payload, Refusal):
        return payload
    chunks = split_snapshot(
        payload.data, request=request, snapshot=one.id, media=payload.media, ts_ms=one.ts_ms, rule=one.rule
    )
    message = (
        f"snapshot {one.id}: {len(payload.data)} bytes in {len(chunks)} parts, {payload.faces} faces blurred,"
        f" audit record {payload.audit.number} {payload.audit.sha256}"
    )
    return SnapshotAnswer(chunks, message, payload.audit)


def erase_snapshots(arguments: Mapping[str, Any], *, store: SnapshotStore) -> str:
    """Erase every snapshot; what to answer. The audit log stays. Raises ValueError when something is left."""
    if arguments:
        raise ValueError(f"got arguments {sorted(arguments)}, expected none: everything is erased")
    erased = store.erase_all()
    text = (
        f"{erased.count} snapshots erased, {erased.size_bytes} bytes overwritten; the audit log stays;"
        " flash memory may keep remnants"
    )
    if erased.failed:
        raise ValueError(f"{text}; {erased.failed} files could not be removed")
    return text
