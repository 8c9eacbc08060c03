"""A loop or a courier that hangs is noticed; one that only has nothing to do is not."""

import math
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from device_agent.agent_parts import ADDRESS
from fleet.real_parts import wait_until

from edgewise.tasks.classification import Category, Classification
from edgewise.tasks.timings import Timings
from edgewise_agent.agent import LONGEST_STEP_S, Agent, Parts
from edgewise_agent.clock import SystemClock
from edgewise_agent.commands.guard import CommandGuard
from edgewise_agent.commands.settings import CommandSettings
from edgewise_agent.connection.backoff import Backoff
from edgewise_agent.connection.courier import Courier
from edgewise_agent.errors import BrokerError
from edgewise_agent.outbox.outbox import Outbox
from edgewise_agent.pipelines.pipeline import Pipeline
from edgewise_agent.pipelines.settings import PipelineSettings
from edgewise_agent.pipelines.source_words import SourceWord
from edgewise_agent.recorder import Recorder
from edgewise_agent.service.heartbeat import Heartbeats
from edgewise_agent.sources.images import PictureFiles
from edgewise_agent.status.status_board import StatusBoard
from edgewise_agent.wire.json_profile import JsonProfile
from edgewise_agent.wire.message import Message
from edgewise_messages import Command, Meta, ModelInfo, decode_notice, encode_notice

LONG_AFTER_S = 1000.0
DAY_S = 86_400.0
SETTLE_S = 0.3
"""For a thread to arrive where it is held up, which nobody tells."""


class Clock:
    """Moved by the test."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Gate:
    """Lets through, or holds up, whoever passes; a runner and a connection in one."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.passed = 0
        self.refuses = False

    def pass_through(self) -> None:
        self.passed += 1
        self.open.wait(60)

    def answers(self, item: Any) -> Iterator[tuple[Any, None]]:
        self.pass_through()
        yield Classification((Category(0, "cat", 0.75),), Timings(0.5, 1.0, 0.5)), None

    promise_ms = None

    def begin_anew(self) -> None:
        pass

    def exchange(self, path: Path) -> None:
        pass

    def info(self) -> ModelInfo:
        return ModelInfo(name="gate")

    def connect(self) -> None:
        if self.refuses:
            raise BrokerError("refused")

    def subscribe(self, topic: str) -> None:
        pass

    def publish(self, message: Message) -> int:
        return 0

    def run(self, timeout_s: float) -> None:
        self.pass_through()
        threading.Event().wait(0.001)

    def close(self) -> None:
        pass


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox.db", max_bytes=2**22)


def start_loop(
    folder: Path,
    outbox: Outbox,
    gate: Gate,
    heartbeats: Heartbeats,
    interval_s: float,
    *,
    health: Gate | None = None,
) -> tuple[Agent, threading.Thread]:
    (folder / "a.jpg").touch()
    settings = PipelineSettings(model=Path("m"), source=(SourceWord(folder),), interval_s=interval_s)
    clock = SystemClock(folder)
    recorder = Recorder(outbox, clock, boot="b")
    pipeline = Pipeline(
        "main",
        settings,
        gate,
        source=lambda: PictureFiles([folder], loop=True, recursive=False),
        recorder=recorder,
        beat=heartbeats.part("pipeline", within_s=math.inf),
    )
    parts = Parts(
        pipelines=[pipeline],
        recorder=recorder,
        outbox=outbox,
        clock=clock,
        health=lambda: (health.pass_through() if health else None) or {},
        beat=heartbeats.part("loop", within_s=LONGEST_STEP_S),
        parse_command=lambda payload: decode_notice(payload, Command),
        respond=lambda response: None,
        guard=CommandGuard(
            CommandSettings(), address=ADDRESS, memory_file=folder / "commands.json", clock=clock
        ),
    )
    agent = Agent(parts, report_interval_s=DAY_S)
    thread = threading.Thread(target=agent.run)
    thread.start()
    return agent, thread


def test_a_pipeline_that_hangs_in_an_inference_is_noticed_and_is_alive_when_it_goes_on(
    tmp_path: Path, outbox: Outbox
) -> None:
    now, gate = Clock(), Gate()
    heartbeats = Heartbeats(now_s=now)
    agent, thread = start_loop(tmp_path, outbox, gate, heartbeats, 0.0)
    wait_until(lambda: gate.passed > 10, "it infers")
    gate.open.clear()
    threading.Event().wait(SETTLE_S)
    now.now_s += LONG_AFTER_S
    assert set(heartbeats.silent()) == {"pipeline"}
    gate.open.set()
    wait_until(lambda: not heartbeats.silent(), "it goes on")
    agent.stop("test")
    thread.join(60)
    outbox.close()


def test_a_pipeline_that_waits_for_its_next_input_is_alive_and_a_loop_that_is_held_up_is_not(
    tmp_path: Path, outbox: Outbox
) -> None:
    now, gate, held = Clock(), Gate(), Gate()
    heartbeats = Heartbeats(now_s=now)
    agent, thread = start_loop(tmp_path, outbox, gate, heartbeats, DAY_S, health=held)
    wait_until(lambda: gate.passed == 1, "it looked once")
    threading.Event().wait(SETTLE_S)
    now.now_s = LONG_AFTER_S
    assert heartbeats.silent() == {}
    held.open.clear()
    agent.command(encode_notice(Command(id="a", name="report-now", issued_ms=1)), False)
    threading.Event().wait(SETTLE_S)
    now.now_s = 2 * DAY_S
    assert set(heartbeats.silent()) == {"loop"}
    held.open.set()
    agent.stop("test")
    thread.join(60)
    outbox.close()


def test_a_courier_that_hangs_is_noticed_one_without_a_broker_is_alive_and_a_stopped_one_is_at_rest(
    outbox: Outbox,
) -> None:
    now, gate = Clock(), Gate()
    heartbeats = Heartbeats(now_s=now)
    connections: list[tuple[bool, str]] = []
    courier = Courier(
        outbox,
        lambda **handlers: gate,
        JsonProfile(
            ADDRESS,
            boot="b",
            meta=lambda: Meta(ts_ms=1, boot="b"),
            now_ms=lambda: 1,
            responses=queue.SimpleQueue(),
            on_command=lambda payload, retained: None,
        ),
        Backoff("x", longest_s=0.05),
        beat=heartbeats.part("courier", within_s=10.0),
        on_connection=lambda connected, why: connections.append((connected, why)),
    )
    gate.refuses = True
    courier.start()
    wait_until(lambda: len(connections) > 3, "it tries again and again")
    assert set(connections) == {(False, "refused")}
    now.now_s = LONG_AFTER_S
    wait_until(lambda: not heartbeats.silent(), "it is alive without a broker")
    gate.refuses = False
    wait_until(lambda: connections[-1] == (True, ""), "it is connected")
    gate.open.clear()
    threading.Event().wait(SETTLE_S)
    now.now_s += LONG_AFTER_S
    assert set(heartbeats.silent()) == {"courier"}
    gate.open.set()
    courier.stop(reason="test", drain_s=0.0)
    now.now_s += DAY_S
    assert heartbeats.silent() == {}
    outbox.close()


def test_what_is_recorded_is_on_the_board_but_no_prediction(outbox: Outbox, tmp_path: Path) -> None:
    board = StatusBoard(group="g", device="d")
    recorder = Recorder(outbox, SystemClock(tmp_path), boot="b", board=board)
    recorder.event("agent.started")
    recorder.event("prediction", data={"label": "cat"})
    recorder.telemetry({"a": 1.5, "b": float("nan")})
    snapshot = board.snapshot()
    assert [event.name for event in snapshot.events] == ["agent.started"]
    assert snapshot.metrics == {"a": 1.5}
    outbox.close()
