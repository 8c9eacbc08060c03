"""Rules, sampling, snapshots and offload together, to a real outbox."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from device_agent.offload_parts import serving
from device_agent.rule_parts import classification

from edgewise.streams import Frame
from edgewise_agent.clock import SystemClock
from edgewise_agent.offload import Offloader, OffloadServerSettings, OffloadSettings
from edgewise_agent.outbox.outbox import Outbox
from edgewise_agent.pipelines.rules_watch import RulesWatch, WatchParts
from edgewise_agent.pipelines.seams import Answered
from edgewise_agent.privacy import AuditLog, Gate, Names, PrivacySettings
from edgewise_agent.recorder import Recorder
from edgewise_agent.rules import RuleSet, RulesSettings, Sampler, SamplingSettings
from edgewise_agent.snapshots import SnapshotSettings, SnapshotStore
from edgewise_messages import Event, decode_record
from edgewise_messages.metrics import BY_NAME

RED = np.full((32, 32, 3), (255, 0, 0), np.uint8)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    made = Outbox(tmp_path / "outbox.db", max_bytes=2**20)
    yield made
    made.close()


@pytest.fixture
def recorder(outbox: Outbox, tmp_path: Path) -> Recorder:
    return Recorder(outbox, SystemClock(tmp_path), boot="boot-1")


def events(outbox: Outbox) -> list[Event]:
    outbox.commit()
    found = [decode_record(body) for batch in outbox.lease() for body in batch.bodies]
    return [one for one in sorted(found, key=lambda one: one.seq) if isinstance(one, Event)]


def heard(answer: Any, item: Any) -> Answered:
    name = item.image.name if isinstance(item, Frame) and isinstance(item.image, Path) else "camera#0"
    return Answered(item, answer, name, 1_795_000_000_000, "m" * 64)


def seen(image: Any) -> Frame:
    return Frame(image, 0, 0.0, "camera")


def rules(*given: dict[str, Any]) -> RuleSet:
    return RuleSet(msgspec.convert({"rule": list(given)}, RulesSettings))


def test_a_rule_becomes_an_event_and_its_input_a_snapshot(
    outbox: Outbox, recorder: Recorder, tmp_path: Path
) -> None:
    store = SnapshotStore(tmp_path / "snapshots", SnapshotSettings(min_free_mb=0))
    one = {
        "name": "cat",
        "when": 'label == "cat"',
        "severity": "warning",
        "message": "{label}!",
        "snapshot": True,
    }
    watch = RulesWatch(WatchParts(recorder=recorder, rules=rules(one), snapshots=store, pipeline="door"))
    watch.hear(heard(classification(("dog", 0.9)), seen(RED)))
    watch.hear(heard(classification(("cat", 0.9)), seen(RED)))
    (event,) = events(outbox)
    (kept,) = store.list()
    assert (event.name, event.severity, event.message) == ("rule.cat", "warning", "cat!")
    assert event.data == {
        "change": "started", "label": "cat", "score": 0.9, "total": 1.0, "snapshot": kept.id, "pipeline": "door",
        "input": "camera#0",
    }  # fmt: skip
    assert kept.details["result"]["categories"][0]["label"] == "cat"
    assert kept.details["model_sha256"] == "m" * 64 and kept.media == "image/jpeg"
    assert all(name in BY_NAME for name in watch.metrics())


def test_what_goes_wrong_is_told_once_a_minute_and_stops_nothing(
    outbox: Outbox, recorder: Recorder, tmp_path: Path
) -> None:
    (tmp_path / "snapshots").write_text("a file where the folder should be")
    store = SnapshotStore(tmp_path / "snapshots", SnapshotSettings(min_free_mb=0))
    bad = {"name": "bad", "when": "1 / (total - 1) > 0"}
    keeps = {"name": "keeps", "when": "score > 0", "tell": "each", "snapshot": True}
    now_s = iter([0.0, 1.0, 2.0, 61.0])
    watch = RulesWatch(
        WatchParts(recorder=recorder, rules=rules(bad, keeps), snapshots=store), mono_s=lambda: next(now_s)
    )
    for given in (RED, tmp_path / "gone.jpg", object(), RED):
        watch.hear(heard(classification(("cat", 0.9)), seen(given)))
    told = events(outbox)
    assert [one.name for one in told].count("rule.keeps") == 4
    assert [one.data["bad"] for one in told if one.name == "rule.failed"] == [1, 3]
    assert [one.data["failures_so_far"] for one in told if one.name == "snapshot.failed"] == [1, 4]
    assert store.failed == 4 and watch.metrics()["rules.failures"] == 4


def test_sampled_predictions_carry_their_weight_and_no_withheld_name(
    outbox: Outbox, recorder: Recorder, tmp_path: Path
) -> None:
    sampler = Sampler(SamplingSettings(keep_per_class=2, max_per_minute=6000), chance=random.Random(1))
    watch = RulesWatch(WatchParts(recorder=recorder, sampler=sampler, names=Names(names_leave=False)))
    for _ in range(200):
        watch.hear(heard(classification(("dog", 0.9)), seen(tmp_path / "ann.jpg")))
    watch.hear(heard(classification(("fox", 0.9)), seen(tmp_path / "ann.jpg")))
    told = [one.data for one in events(outbox)]
    assert {one["input"] for one in told} == {"(name withheld)"}
    assert told[-1]["label"] == "fox" and told[-1]["weight"] == 1.0
    assert 2 < len(told) < 50


def test_an_uncertain_answer_is_asked_about_and_both_are_told(
    outbox: Outbox, recorder: Recorder, tmp_path: Path, tiny_model: Path
) -> None:
    with serving(tiny_model) as server:
        url = f"http://127.0.0.1:{server.port}"
        settings = OffloadSettings(
            enabled=True, max_latency_ms=20_000.0, servers=(OffloadServerSettings(url=url),)
        )
        privacy = PrivacySettings(raw_leaves=True, allowed_brokers=(url,), redact=())
        offloader = Offloader(settings, Gate(privacy, AuditLog(tmp_path / "audit", max_bytes=10**6)))
        offloader.servers.probe()
        watch = RulesWatch(WatchParts(recorder=recorder, offloader=offloader))
        watch.hear(heard(classification(("green", 0.4)), seen(RED)))
        watch.hear(heard(classification(("green", 0.9)), seen(RED)))
    (event,) = events(outbox)
    assert event.name == "offload"
    assert (event.data["answered_by"], event.data["label"], event.data["local_label"]) == (
        url,
        "red",
        "green",
    )
    assert offloader.metrics() == {"offload.asked": 1, "offload.answered": 1}
