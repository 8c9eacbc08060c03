"""An input that a device was asked for and may give, in parts that fit into messages."""

import hashlib
from collections.abc import Iterable
from typing import Annotated

import msgspec

from edgewise_messages.errors import MalformedMessage
from edgewise_messages.records import SCHEMA_VERSION, BootId, Count, Name, Version

CHUNK_BYTES = 128 * 1024
"""In base64 and with the rest about 171 KiB, below the 256 KiB of a message."""
MAX_CHUNKS = 512
"""64 MiB in all."""

Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]


class SnapshotChunk(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One part; base64 in JSON, bytes in MessagePack."""

    request: BootId
    """The id of the command that asked for it."""
    snapshot: Name
    ts_ms: Count
    """When the input was looked at."""
    media: Name
    """Its media type, such as image/jpeg."""
    sha256: Sha256
    """Of the whole."""
    size_bytes: Count
    """Of the whole."""
    index: Annotated[int, msgspec.Meta(ge=0, lt=MAX_CHUNKS)]
    count: Annotated[int, msgspec.Meta(ge=1, le=MAX_CHUNKS)]
    part: Annotated[bytes, msgspec.Meta(max_length=CHUNK_BYTES)]
    rule: Annotated[str, msgspec.Meta(max_length=128)] = ""
    version: Version = SCHEMA_VERSION


def split_snapshot(
    data: bytes, *, request: str, snapshot: str, media: str, ts_ms: int, rule: str = ""
) -> tuple[SnapshotChunk, ...]:
    """The parts of an input, in order. Raises MalformedMessage for more than 64 MiB."""
    count = max(-(-len(data) // CHUNK_BYTES), 1)
    if count > MAX_CHUNKS:
        raise MalformedMessage(
            f"snapshot: got {len(data)} bytes, expected at most {MAX_CHUNKS * CHUNK_BYTES}"
        )
    sha256 = hashlib.sha256(data).hexdigest()
    return tuple(
        SnapshotChunk(
            request=request, snapshot=snapshot, ts_ms=ts_ms, media=media, sha256=sha256, size_bytes=len(data),
            index=index, count=count, part=data[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES], rule=rule,
        )
        for index in range(count)
    )  # fmt: skip


def join_snapshot(chunks: Iterable[SnapshotChunk]) -> bytes:
    """The whole, from its parts in any order, repeats allowed. Raises MalformedMessage when one lacks or differs."""
    parts: dict[int, SnapshotChunk] = {}
    first: SnapshotChunk | None = None
    for chunk in chunks:
        first = first or chunk
        same = (chunk.request, chunk.snapshot, chunk.sha256, chunk.count, chunk.size_bytes)
        if same != (first.request, first.snapshot, first.sha256, first.count, first.size_bytes):
            raise MalformedMessage(
                f"snapshot {first.snapshot}: got a part of {chunk.snapshot}, expected its own"
            )
        parts.setdefault(chunk.index, chunk)
    if first is None or sorted(parts) != list(range(first.count)):
        expected = first.count if first else "some"
        raise MalformedMessage(f"snapshot: got {len(parts)} parts, expected {expected}")
    data = b"".join(parts[index].part for index in sorted(parts))
    if len(data) != first.size_bytes or hashlib.sha256(data).hexdigest() != first.sha256:
        raise MalformedMessage(f"snapshot {first.snapshot}: its parts do not give what was sent")
    return data
