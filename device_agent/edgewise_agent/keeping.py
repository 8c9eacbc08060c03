"""What one device has of snapshots and privacy, put together from its settings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgewise_agent.commands.desk import Action, Refuse
from edgewise_agent.privacy import AuditLog, Destination, FaceBlur, Gate, Names, PrivacySettings, Refusal
from edgewise_agent.privacy.requests import answer_snapshot_request, erase_snapshots
from edgewise_agent.snapshots import SnapshotSettings, SnapshotStore
from edgewise_messages import Command, CommandName, SnapshotChunk

AUDIT_FOLDER, SNAPSHOT_FOLDER = "audit", "snapshots"
"""In device.state_dir."""


@dataclass(frozen=True)
class Keeping:
    """Shared by the pipelines."""

    snapshots: SnapshotStore
    gate: Gate
    names: Names
    blur: FaceBlur | None = None

    def metrics(self) -> dict[str, float | int]:
        """For telemetry."""
        return {
            "snapshots.count": len(self.snapshots),
            "snapshots.size_bytes": self.snapshots.size_bytes,
            "snapshots.failures": self.snapshots.failed,
        }

    def close(self) -> None:
        """Let go of the face detector."""
        if self.blur is not None:
            self.blur.close()

    def actions(
        self,
        *,
        to: Sequence[Destination],
        publish: Callable[[SnapshotChunk], None],
        waiting: Callable[[], int] = lambda: 0,
    ) -> dict[str, Action]:
        """The commands `snapshot` and `erase`.

        ``to`` are the brokers it may be connected to: an input leaves only if it may go to each of them, as the
        connection may change meanwhile. ``waiting`` is how many parts are not sent yet.
        """

        def snapshot(command: Command) -> str:
            if waiting():
                raise Refuse("another snapshot is still being sent")
            for other in to[1:]:
                if reason := self.gate.would_refuse(other, is_picture=False):
                    raise Refuse(reason)
            answer = answer_snapshot_request(
                command.arguments, request=command.id, store=self.snapshots, gate=self.gate, to=to[0]
            )
            if isinstance(answer, Refusal):
                raise Refuse(answer.reason)
            for chunk in answer.chunks:
                publish(chunk)
            return answer.message

        def erase(command: Command) -> str:
            return erase_snapshots(command.arguments, store=self.snapshots)

        return {CommandName.SNAPSHOT: snapshot, CommandName.ERASE: erase}


def open_keeping(state_dir: Path, *, privacy: PrivacySettings, snapshots: SnapshotSettings) -> Keeping:
    """The audit log and the face detector are opened only where inputs may leave.

    Raises RedactionFailed for a face model that is none, AuditError.
    """
    store = SnapshotStore(state_dir / SNAPSHOT_FOLDER, snapshots)
    audit = blur = None
    if privacy.raw_leaves:
        audit = AuditLog(state_dir / AUDIT_FOLDER, max_bytes=privacy.audit_mb * 1024 * 1024)
        if "faces" in privacy.redact and privacy.face_model is not None:
            blur = FaceBlur(privacy.face_model)
    return Keeping(store, Gate(privacy, audit, blur=blur), Names(names_leave=privacy.names_leave), blur)
