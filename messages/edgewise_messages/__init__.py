"""What a device and its fleet say to each other. Knows no MQTT and no numpy."""

from edgewise_messages.codec import (
    Batch,
    Format,
    decode_notice,
    decode_record,
    decode_records,
    encode_notice,
    encode_record,
    encode_records,
    join_encoded,
)
from edgewise_messages.commands import (
    COMMANDS,
    Command,
    CommandName,
    Outcome,
    Response,
    check_arguments,
    signed_bytes,
)
from edgewise_messages.errors import InvalidTopic, MalformedMessage, MessageError, UnsupportedVersion
from edgewise_messages.records import (
    AnyRecord,
    Clock,
    DeviceState,
    Drift,
    Event,
    Meta,
    ModelInfo,
    Promise,
    Record,
    Severity,
    Status,
    Telemetry,
)
from edgewise_messages.snapshots import SnapshotChunk, join_snapshot, split_snapshot
from edgewise_messages.topics import Channel, DeviceAddress, parse_topic, subscription

__all__ = [
    "COMMANDS", "AnyRecord", "Batch", "Channel", "Clock", "Command", "CommandName", "DeviceAddress",
    "DeviceState", "Drift", "Event", "Format", "InvalidTopic", "MalformedMessage", "MessageError", "Meta",
    "ModelInfo", "Outcome", "Promise", "Record", "Response", "Severity", "SnapshotChunk", "Status", "Telemetry",
    "UnsupportedVersion", "check_arguments", "decode_notice", "decode_record", "decode_records", "encode_notice",
    "encode_record", "encode_records", "join_encoded", "join_snapshot", "parse_topic", "signed_bytes",
    "split_snapshot", "subscription",
]  # fmt: skip
