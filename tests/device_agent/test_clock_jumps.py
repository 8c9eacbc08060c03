"""The wall clock jumps while an agent runs: libfaketime turns the clock of the process, not the monotonic one."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from device_agent.agent_parts import AgentProcess, Broker, Listener

WriteConfig = Callable[..., Path]
StartAgent = Callable[[Path], AgentProcess]


def test_reports_go_on_and_stay_in_order_through_1970_a_jump_ahead_and_one_back(
    broker: Broker,
    listener: Listener,
    write_config: WriteConfig,
    start_agent: StartAgent,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    offset = tmp_path / "offset"
    for name, value in {
        "LD_PRELOAD": library,
        "FAKETIME_TIMESTAMP_FILE": offset,
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }.items():
        monkeypatch.setenv(name, str(value))
    offset.write_text(f"-{int(time.time()) - 3600}\n")
    agent = start_agent(write_config(broker.url))
    for name in ("LD_PRELOAD", "FAKETIME_TIMESTAMP_FILE"):
        monkeypatch.delenv(name)
    seen_years = []
    for jump_s in (None, 10 * 86400, -10 * 86400, 0):
        if jump_s is not None:
            offset.write_text(f"{jump_s:+d}\n")
        before = len(listener.telemetry())
        listener.wait_for(lambda least=before + 4: len(listener.telemetry()) >= least, "reports go on")
        with listener._lock:
            seen_years.append(time.gmtime(list(listener.records.values())[-1].ts_ms / 1000).tm_year)
    assert agent.end() == 0
    assert seen_years[0] == 1970 and min(seen_years[1:]) > 2020, "the clock did jump"
    records = sorted(listener.records.values(), key=lambda record: record.seq)
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    mono = [record.mono_ns for record in records]
    assert mono == sorted(mono), "the monotonic clock tells the order that the wall clock lost"
    wall = [record.ts_ms for record in records]
    assert wall != sorted(wall)
