import math
import os
from pathlib import Path

import pytest

from edgewise_agent.clock import SystemClock
from edgewise_agent.outbox.outbox import Outbox
from edgewise_agent.recorder import Recorder
from edgewise_messages import AnyRecord, Event, Severity, Telemetry, decode_record


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox.db", max_bytes=2**20)


@pytest.fixture
def recorder(outbox: Outbox, tmp_path: Path) -> Recorder:
    return Recorder(outbox, SystemClock(tmp_path), boot="boot-1")


def recorded(outbox: Outbox) -> list[AnyRecord]:
    outbox.commit()
    records = [decode_record(body) for batch in outbox.lease() for body in batch.bodies]
    outbox.close()
    return sorted(records, key=lambda record: record.seq)


def test_records_carry_clock_boot_and_their_outbox_number(outbox: Outbox, recorder: Recorder) -> None:
    numbers = [
        recorder.telemetry({"a": 1.5}),
        recorder.event("x", "text", severity=Severity.ERROR, data={"k": None}),
    ]
    telemetry, event = recorded(outbox)
    assert isinstance(telemetry, Telemetry) and telemetry.metrics == {"a": 1.5}
    assert isinstance(event, Event) and (event.name, event.message, event.data) == ("x", "text", {"k": None})
    assert [telemetry.seq, event.seq] == numbers == [1, 2]
    assert telemetry.boot == event.boot == "boot-1"
    assert 0 < telemetry.mono_ns <= event.mono_ns
    assert telemetry.ts_ms > 1_700_000_000_000


def test_what_no_fleet_would_take_is_cut_replaced_or_left_out(outbox: Outbox, recorder: Recorder) -> None:
    recorder.telemetry({"good": 1, "nan": math.nan, "infinite": -math.inf})
    undecodable = os.fsdecode(b"caf\xe9.jpg")
    recorder.event(
        "n" * 500, "m" * 10_000, data={"file": undecodable, "k" * 500: "v" * 10_000, "nan": math.nan}
    )
    telemetry, event = recorded(outbox)
    assert isinstance(telemetry, Telemetry) and telemetry.metrics == {"good": 1}
    assert isinstance(event, Event)
    assert (len(event.name), len(event.message)) == (128, 1000)
    assert event.data == {"file": "caf?.jpg", "k" * 128: "v" * 1000, "nan": None}
