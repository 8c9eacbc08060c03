"""A loop or a courier that hangs is noticed; one that only has nothing to do is not."""

import queue
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from device_agent.agent_parts import ADDRESS
from fleet.real_parts import wait_until

from edgewise_agent.agent import LONGEST_STEP_S, Agent, Parts
from edgewise_agent.backoff import Backoff
from edgewise_agent.clock import SystemClock
from edgewise_agent.config import ReportSettings, SourceSettings
from edgewise_agent.courier import Courier
from edgewise_agent.errors import BrokerError
from edgewise_agent.model_runner import Prediction
from edgewise_agent.outbox import Outbox
from edgewise_agent.recorder import Recorder
from edgewise_agent.service.heartbeat import Heartbeats
from edgewise_agent.sources.images import ImageFiles
from edgewise_agent.status.status_board import StatusBoard
from edgewise_agent.wire.json_profile import JsonProfile
from edgewise_agent.wire.message import Message
from edgewise_messages import Command, Meta, ModelInfo, decode_notice

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

    def predict(self, path: Path) -> Prediction:
        self.pass_through()
        return Prediction("cat", 0.75, latency_ms=2.0)

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
    folder: Path, outbox: Outbox, gate: Gate, beat: Callable[[float], None], interval_s: float
) -> tuple[Agent, threading.Thread]:
    (folder / "a.jpg").touch()
    source = SourceSettings(path=(folder,), interval_s=interval_s)
    clock = SystemClock(folder)
    parts = Parts(
        source=ImageFiles(source.path, loop=True, recursive=False),
        runner=gate,
        recorder=Recorder(outbox, clock, boot="b"),
        outbox=outbox,
        clock=clock,
        health=dict,
        parse_command=lambda payload: decode_notice(payload, Command),
        respond=lambda response: None,
        beat=beat,
    )
    agent = Agent(parts, source=source, report=ReportSettings(interval_s=DAY_S))
    thread = threading.Thread(target=agent.run)
    thread.start()
    return agent, thread


def test_a_loop_that_hangs_in_an_inference_is_noticed_and_is_alive_when_it_goes_on(
    tmp_path: Path, outbox: Outbox
) -> None:
    now, gate = Clock(), Gate()
    heartbeats = Heartbeats(now_s=now)
    agent, thread = start_loop(tmp_path, outbox, gate, heartbeats.part("loop", within_s=LONGEST_STEP_S), 0.0)
    wait_until(lambda: gate.passed > 10, "it infers")
    now.now_s = LONG_AFTER_S
    wait_until(lambda: not heartbeats.silent(), "however late it is, a loop that runs is heard")
    gate.open.clear()
    threading.Event().wait(SETTLE_S)
    now.now_s += LONG_AFTER_S
    assert set(heartbeats.silent()) == {"loop"}
    gate.open.set()
    wait_until(lambda: not heartbeats.silent(), "it goes on")
    agent.stop("test")
    thread.join(60)
    outbox.close()


def test_a_loop_that_waits_for_its_next_input_is_alive(tmp_path: Path, outbox: Outbox) -> None:
    now, gate = Clock(), Gate()
    heartbeats = Heartbeats(now_s=now)
    agent, thread = start_loop(
        tmp_path, outbox, gate, heartbeats.part("loop", within_s=LONGEST_STEP_S), DAY_S
    )
    wait_until(lambda: gate.passed == 1, "it looked once")
    threading.Event().wait(SETTLE_S)
    now.now_s = LONG_AFTER_S
    assert heartbeats.silent() == {}
    now.now_s = 2 * DAY_S
    assert set(heartbeats.silent()) == {"loop"}
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
        JsonProfile(ADDRESS, boot="b"),
        Backoff("x", longest_s=0.05),
        meta=lambda: Meta(ts_ms=1, boot="b"),
        now_ms=lambda: 1,
        responses=queue.SimpleQueue(),
        on_command=lambda payload, retained: None,
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
