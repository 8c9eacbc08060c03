"""Records made before the clock was set get their time once it is known."""

from pathlib import Path

import pytest
from device_agent.agent_parts import FakeTime

from edgewise_agent.outbox.outbox import Outbox
from edgewise_agent.outbox.restamp import Restamper, kernel_boot_id
from edgewise_agent.recorder import Recorder
from edgewise_messages import AnyRecord, Clock, decode_record

TRUE_MS = 1_795_000_000_000


def outbox_of(path: Path, time: FakeTime, *, boot: str, kernel_boot: str) -> tuple[Outbox, Recorder]:
    outbox = Outbox(path, max_bytes=2**24)
    outbox.stamp_with(Restamper(time, boot=boot, kernel_boot=kernel_boot, earlier=outbox.boots()))
    return outbox, Recorder(outbox, time, boot=boot)


def take(outbox: Outbox) -> list[AnyRecord]:
    assert outbox.commit()
    taken: list[AnyRecord] = []
    while batches := outbox.lease():
        taken += [decode_record(body) for batch in batches for body in batch.bodies]
    return sorted(taken, key=lambda record: record.seq)


def synced(time: FakeTime) -> None:
    time.wall_ms, time.clock = TRUE_MS, Clock.NTP


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.mark.parametrize(
    "before_ms", [0, 1_000, TRUE_MS + 10**10], ids=["1970", "1970 and 1 s", "the future"]
)
def test_a_record_gets_the_time_at_which_it_was_made(path: Path, before_ms: int) -> None:
    time = FakeTime(wall_ms=before_ms, mono_s=5.0)
    outbox, recorder = outbox_of(path, time, boot="b", kernel_boot="k")
    recorder.event("early")
    time.pass_s(60.0)
    synced(time)
    recorder.event("late")
    early, late = take(outbox)
    assert (early.ts_ms, early.clock, early.restamped) == (TRUE_MS - 60_000, Clock.NTP, True)
    assert (early.boot, early.seq, early.mono_ns) == ("b", 1, 5_000_000_000)
    assert (late.ts_ms, late.clock, late.restamped) == (TRUE_MS, Clock.NTP, False)
    outbox.close()


def test_before_the_clock_is_set_records_go_out_as_they_are(path: Path) -> None:
    time = FakeTime(wall_ms=7)
    outbox, recorder = outbox_of(path, time, boot="b", kernel_boot="k")
    recorder.event("early")
    (record,) = take(outbox)
    assert (record.ts_ms, record.clock, record.restamped) == (7, Clock.UNSYNCED, False)
    outbox.close()


def test_a_kill_before_sending_costs_no_stamp_also_after_a_reboot(path: Path, tmp_path: Path) -> None:
    """The file of the killed one is copied as it is; the clock had been set while it ran."""
    time = FakeTime(mono_s=5.0)
    outbox, recorder = outbox_of(path, time, boot="b1", kernel_boot="k1")
    recorder.event("one")
    recorder.telemetry({"model.inferences": 1})
    outbox.commit()
    time.pass_s(10.0)
    synced(time)
    outbox.lease()
    killed = tmp_path / "killed.db"
    for suffix in ("", "-wal"):
        killed.with_name(killed.name + suffix).write_bytes(path.with_name(path.name + suffix).read_bytes())
    outbox.close()
    rebooted = FakeTime(mono_s=1.0)
    again, _ = outbox_of(killed, rebooted, boot="b2", kernel_boot="k2")
    records = take(again)
    assert [(one.boot, one.seq, one.ts_ms, one.restamped) for one in records] == [
        ("b1", 1, TRUE_MS - 10_000, True),
        ("b1", 2, TRUE_MS - 10_000, True),
    ]
    again.close()


def test_a_boot_whose_clock_was_never_set_stays_unsynced(path: Path) -> None:
    outbox, recorder = outbox_of(path, FakeTime(wall_ms=3), boot="b1", kernel_boot="k1")
    recorder.event("lost in time", durable=True)
    outbox.close()
    time = FakeTime(wall_ms=TRUE_MS, clock=Clock.NTP)
    again, recorder = outbox_of(path, time, boot="b2", kernel_boot="k2")
    recorder.event("now")
    old, new = take(again)
    assert (old.boot, old.ts_ms, old.clock, old.restamped) == ("b1", 3, Clock.UNSYNCED, False)
    assert (new.boot, new.ts_ms, new.restamped) == ("b2", TRUE_MS, False)
    again.close()


def test_a_restart_of_the_agent_within_one_boot_of_the_board_still_knows_its_records(path: Path) -> None:
    time = FakeTime(mono_s=5.0)
    outbox, recorder = outbox_of(path, time, boot="b1", kernel_boot="k")
    recorder.event("early", durable=True)
    outbox.close()
    time.pass_s(30.0)
    synced(time)
    again, _ = outbox_of(path, time, boot="b2", kernel_boot="k")
    (record,) = take(again)
    assert (record.boot, record.ts_ms, record.restamped) == ("b1", TRUE_MS - 30_000, True)
    again.close()


def test_what_is_no_record_is_left_alone(path: Path) -> None:
    time = FakeTime(wall_ms=TRUE_MS, clock=Clock.NTP)
    outbox, _ = outbox_of(path, time, boot="b", kernel_boot="k")
    outbox.append("event", lambda seq: b"not a record", durable=True)
    assert [batch.bodies for batch in outbox.lease()] == [(b"not a record",)]
    outbox.close()


def test_the_boot_of_the_kernel_is_told_or_empty(tmp_path: Path) -> None:
    assert kernel_boot_id(tmp_path) == ""
    (tmp_path / "proc/sys/kernel/random").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/random/boot_id").write_text("abc-1\n")
    assert kernel_boot_id(tmp_path) == "abc-1"
