"""How devices are judged."""

from dataclasses import replace

import pytest

from edgewise_fleet.store import DeviceRow
from edgewise_fleet.summary import Condition, judge, summarise_device, throttle_words
from edgewise_messages import DeviceAddress, DeviceState, Meta, ModelInfo

NOW_MS = 1_790_000_000_000
ROW = DeviceRow(
    address=DeviceAddress("lab", "camera"),
    first_seen_ms=NOW_MS - 10_000_000,
    last_seen_ms=NOW_MS - 1000,
    state=DeviceState.ONLINE,
    state_since_ms=NOW_MS - 5_000_000,
    state_reason="",
    meta=None,
    metrics={},
)


def condition(row: DeviceRow) -> tuple[Condition, int]:
    return judge(row, now_ms=NOW_MS, silent_after_s=60)


def test_a_device_heard_just_now_is_online() -> None:
    assert condition(ROW) == (Condition.ONLINE, NOW_MS - 1000)


def test_a_connected_device_that_says_nothing_is_silent_since_its_last_word() -> None:
    assert condition(replace(ROW, last_seen_ms=NOW_MS - 61_000)) == (Condition.SILENT, NOW_MS - 61_000)


@pytest.mark.parametrize("state", [DeviceState.OFFLINE, DeviceState.STOPPED])
def test_what_the_broker_or_the_device_said_last_holds(state: DeviceState) -> None:
    told = replace(ROW, state=state, state_since_ms=NOW_MS - 900)
    assert condition(told) == (Condition(state.value), NOW_MS - 900)


def test_a_device_heard_after_its_last_will_is_back() -> None:
    back = replace(ROW, state=DeviceState.OFFLINE, state_since_ms=NOW_MS - 60_000)
    assert condition(back)[0] is Condition.ONLINE


def test_records_without_any_status_make_a_device_online() -> None:
    assert condition(replace(ROW, state=None, state_since_ms=0))[0] is Condition.ONLINE


def test_a_device_known_only_from_a_retained_notice_turns_silent() -> None:
    known = replace(ROW, last_seen_ms=0, state_since_ms=NOW_MS - 70_000)
    assert condition(known) == (Condition.SILENT, NOW_MS - 70_000)


@pytest.mark.parametrize(
    ("bits", "words"),
    [(None, None), (0, ()), (1, ("under-voltage",)), (0b1100, ("throttled", "hot")), (0x50000, ())],
)
def test_throttling_bits_become_words(bits: float | None, words: tuple[str, ...] | None) -> None:
    assert throttle_words(bits) == words


def test_what_a_device_never_told_is_none() -> None:
    summary = summarise_device(ROW, now_ms=NOW_MS, silent_after_s=60)
    assert (summary.latency_p50_ms, summary.temperature_c, summary.throttled) == (None, None, None)
    assert (summary.model, summary.precision) == ("", "")


def test_several_pipelines_show_the_slowest_latency_and_the_throughput_of_all() -> None:
    metrics = {
        "model.latency_p95_ms": 10.0,
        "door/model.latency_p95_ms": 30.0,
        "model.throughput_per_s": 1.0,
        "door/model.throughput_per_s": 2.5,
    }
    meta = Meta(ts_ms=1, boot="b", models={"main": ModelInfo(name="a"), "door": ModelInfo(name="b")})
    found = summarise_device(replace(ROW, metrics=metrics, meta=meta), now_ms=NOW_MS, silent_after_s=60)
    assert (found.latency_p95_ms, found.throughput_per_s, found.model) == (30.0, 3.5, "a, b")
    assert found.latency_p50_ms is None
