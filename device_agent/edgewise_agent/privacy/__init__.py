"""What may leave the device: the gate that every input passes, redaction, and the audit log."""

from edgewise_agent.privacy.audit import AuditLog, Head, Verified, read_audit, verify_audit
from edgewise_agent.privacy.destinations import Destination, destination_of, privacy_problems
from edgewise_agent.privacy.faces import FaceBlur
from edgewise_agent.privacy.gate import Gate, RedactedPayload, Refusal
from edgewise_agent.privacy.names import Names
from edgewise_agent.privacy.requests import SnapshotAnswer, answer_snapshot_request, erase_snapshots
from edgewise_agent.privacy.settings import PrivacySettings

__all__ = [
    "AuditLog", "Destination", "FaceBlur", "Gate", "Head", "Names", "PrivacySettings", "RedactedPayload", "Refusal",
    "SnapshotAnswer", "Verified", "answer_snapshot_request", "destination_of", "erase_snapshots", "privacy_problems",
    "read_audit", "verify_audit",
]  # fmt: skip
