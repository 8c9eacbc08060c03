"""The loop with a model that does as it is told; everything else is real."""

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from fleet.real_parts import wait_until

from edgewise_agent.agent import Agent, Parts
from edgewise_agent.clock import SystemClock
from edgewise_agent.command_guard import CommandGuard
from edgewise_agent.commands_settings import CommandSettings
from edgewise_agent.config import ReportSettings, SourceSettings
from edgewise_agent.model_runner import Prediction
from edgewise_agent.outbox import Outbox
from edgewise_agent.recorder import Recorder
from edgewise_agent.sources.images import ImageFiles
from edgewise_messages import (
    Command,
    DeviceAddress,
    Event,
    ModelInfo,
    Response,
    Telemetry,
    decode_notice,
    decode_record,
    encode_notice,
)


class ScriptedRunner:
    """Fails on names with "bad" in them, with an error no SDK announces."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def predict(self, path: Path) -> Prediction:
        self.seen.append(path.name)
        if "bad" in path.name:
            raise MemoryError("no room")
        return Prediction("cat", 0.75, latency_ms=2.0, invoke_ms=1.0)

    def info(self) -> ModelInfo:
        return ModelInfo(name="scripted")

    def close(self) -> None:
        pass


class Running:
    """An agent on a thread, and what it recorded and answered."""

    def __init__(
        self,
        folder: Path,
        *,
        source: SourceSettings,
        report: ReportSettings,
        health: Callable[[], Mapping[str, float]],
    ) -> None:
        self.outbox = Outbox(folder / "outbox.db", max_bytes=2**22)
        self.runner = ScriptedRunner()
        self.responses: list[Response] = []
        clock = SystemClock(folder)
        parts = Parts(
            source=ImageFiles(source.path, loop=source.loop, recursive=source.recursive),
            runner=self.runner,
            recorder=Recorder(self.outbox, clock, boot="b"),
            outbox=self.outbox,
            clock=clock,
            health=health,
            parse_command=lambda payload: decode_notice(payload, Command),
            respond=self.responses.append,
            guard=CommandGuard(
                CommandSettings(),
                address=DeviceAddress("test", "cam-1"),
                memory_file=folder / "commands.json",
                clock=clock,
            ),
        )
        self.agent = Agent(parts, source=source, report=report)
        self._kept: list[Telemetry | Event] = []
        self._thread = threading.Thread(target=self.agent.run)
        self._thread.start()

    def command(self, name: str) -> None:
        self.agent.command(encode_notice(Command(id=f"{name}-1", name=name, issued_ms=1)), False)

    def stop(self) -> None:
        self.agent.stop("test")
        self._thread.join(30)
        assert not self._thread.is_alive()

    def wait(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive()

    def events(self, name: str) -> list[Event]:
        return [record for record in self._records() if isinstance(record, Event) and record.name == name]

    def telemetry(self) -> list[Telemetry]:
        return [record for record in self._records() if isinstance(record, Telemetry)]

    def _records(self) -> list[Telemetry | Event]:
        self.outbox.commit()
        while batches := self.outbox.lease():
            self._kept += [decode_record(body) for batch in batches for body in batch.bodies]  # type: ignore[misc]
        return self._kept


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts an agent; settings that are not given suit a test."""
    started: list[Running] = []
    (tmp_path / "in").mkdir()

    def start(
        *names: str,
        report: ReportSettings | None = None,
        health: Callable[[], Mapping[str, float]] = dict,
        **source: object,
    ) -> Running:
        for name in names:
            (tmp_path / "in" / name).touch()
        settings = SourceSettings(**{"path": (tmp_path / "in",), "interval_s": 0.0, **source})  # type: ignore[arg-type]
        started.append(Running(tmp_path, source=settings, report=report or ReportSettings(), health=health))
        return started[-1]

    yield start
    for one in started:
        one.stop()
        one.outbox.close()


def test_the_first_report_comes_at_once_and_the_last_at_the_stop(run: Callable[..., Running]) -> None:
    running = run("a.jpg", report=ReportSettings(interval_s=3600.0))
    wait_until(lambda: len(running.runner.seen) > 5, "it infers")
    running.stop()
    first, last = running.telemetry()
    assert first.metrics["model.inferences"] == 0
    assert last.metrics["model.inferences"] == len(running.runner.seen)


def test_predictions_are_told_only_when_asked_for(run: Callable[..., Running]) -> None:
    running = run("a.jpg", report=ReportSettings(events="none"), loop=False)
    running.wait()
    assert running.events("prediction") == []
    assert [event.message for event in running.events("source.ended")] == ["every input was looked at once"]


def test_an_unforeseen_failure_of_one_input_is_counted_and_the_next_is_taken(
    run: Callable[..., Running],
) -> None:
    running = run("a.jpg", "bad.jpg", "c.jpg", "d-bad.jpg", loop=False, report=ReportSettings(events="all"))
    running.wait()
    assert running.runner.seen == ["a.jpg", "bad.jpg", "c.jpg", "d-bad.jpg"]
    assert running.telemetry()[-1].metrics["model.errors"] == 2
    (event,) = running.events("input.failed")
    assert event.message == "MemoryError('no room')"
    assert event.data == {"errors_so_far": 1, "input": "bad.jpg"}
    assert [event.data["input"] for event in running.events("prediction")] == ["a.jpg", "c.jpg"]


def test_a_missing_folder_is_told_and_waited_for_without_a_busy_loop(
    run: Callable[..., Running], tmp_path: Path
) -> None:
    running = run(path=(tmp_path / "usb",))
    wait_until(lambda: running.events("source.failed"), "the event")
    running.command("report-now")
    wait_until(lambda: running.responses, "commands are answered meanwhile")
    assert len(running.events("source.failed")) == 1
    assert running.runner.seen == []


def test_health_that_fails_does_not_stop_the_inferences(run: Callable[..., Running]) -> None:
    def broken() -> dict[str, float]:
        raise RuntimeError("no /proc")

    running = run("a.jpg", health=broken)
    wait_until(lambda: len(running.runner.seen) > 3, "it goes on")


def test_reports_keep_to_their_interval_while_inputs_are_rare(run: Callable[..., Running]) -> None:
    running = run("a.jpg", interval_s=3600.0, report=ReportSettings(interval_s=0.1))
    wait_until(lambda: len(running.telemetry()) >= 4, "four reports")
    assert running.runner.seen == ["a.jpg"]
