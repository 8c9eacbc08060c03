"""Snapshots in parts: whole again in any order, refused when something lacks."""

import pytest
from msgspec.structs import replace

from edgewise_messages import (
    Format,
    MalformedMessage,
    SnapshotChunk,
    decode_notice,
    encode_notice,
    join_snapshot,
)
from edgewise_messages.snapshots import CHUNK_BYTES, MAX_CHUNKS, split_snapshot


def parts(size: int) -> tuple[SnapshotChunk, ...]:
    data = bytes(place * 7 % 256 for place in range(size))
    return split_snapshot(data, request="c1", snapshot="s1", media="image/jpeg", ts_ms=1, rule="cat")


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
@pytest.mark.parametrize("form", list(Format))
def test_parts_make_the_whole_in_any_order_and_repeated(size: int, form: Format) -> None:
    sent = [encode_notice(one, form) for one in parts(size)]
    assert all(len(one) < 256 * 1024 for one in sent)
    received = [decode_notice(one, SnapshotChunk) for one in [*reversed(sent), *sent]]
    assert join_snapshot(received) == bytes(place * 7 % 256 for place in range(size))


def test_what_lacks_or_differs_is_refused() -> None:
    some = parts(3 * CHUNK_BYTES)
    for wrong in (
        (), some[:2], some[1:], (*some[:2], replace(some[2], part=b"other")),
        (*some[:2], replace(some[2], snapshot="s2")),
    ):  # fmt: skip
        with pytest.raises(MalformedMessage, match="snapshot"):
            join_snapshot(wrong)


def test_what_is_too_large_is_refused() -> None:
    with pytest.raises(MalformedMessage, match="expected at most"):
        split_snapshot(bytes(CHUNK_BYTES * MAX_CHUNKS + 1), request="c", snapshot="s", media="m", ts_ms=1)
    with pytest.raises(MalformedMessage):
        encode_notice(replace(parts(1)[0], part=bytes(CHUNK_BYTES + 1)))
