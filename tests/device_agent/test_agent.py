"""The loop and its pipelines with models that do as they are told; everything else is real."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from fleet.real_parts import wait_until
from PIL import Image

from edgewise.streams import Frame
from edgewise.tasks.classification import Category, Classification
from edgewise.tasks.timings import Timings
from edgewise_agent.agent import Agent, Parts
from edgewise_agent.clock import SystemClock
from edgewise_agent.commands.guard import CommandGuard
from edgewise_agent.commands.settings import CommandSettings
from edgewise_agent.outbox.outbox import Outbox
from edgewise_agent.pipelines.pipeline import Pipeline
from edgewise_agent.pipelines.seams import Answered
from edgewise_agent.pipelines.settings import PipelineSettings
from edgewise_agent.pipelines.source_words import SourceWord
from edgewise_agent.recorder import Recorder
from edgewise_agent.sources.choice import make_source
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

SHOP_HOURS = ("09:00-18:00",)
NOON, NIGHT = (time.strptime(f"2026-11-30 {hour}", "%Y-%m-%d %H:%M") for hour in ("12:00", "23:00"))


class ScriptedSlot:
    """Fails on names with "bad" in them, with an error no SDK announces."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.exchanged: list[Path] = []

    def answers(self, item: Any) -> Iterator[tuple[Any, None]]:
        assert isinstance(item, Frame) and isinstance(item.image, Path)
        self.seen.append(item.image.name)
        if "bad" in item.image.name:
            raise MemoryError("no room")
        yield Classification((Category(0, "cat", 0.75),), Timings(0.5, 1.0, 0.5)), None

    promise_ms = None

    def begin_anew(self) -> None:
        pass

    def exchange(self, path: Path) -> None:
        self.exchanged.append(path)

    def info(self) -> ModelInfo:
        return ModelInfo(name="scripted")


class Running:
    """An agent on a thread, and what it recorded and answered."""

    def __init__(
        self,
        folder: Path,
        pipelines: Mapping[str, PipelineSettings],
        *,
        report_interval_s: float,
        health: Callable[[], Mapping[str, float]],
    ) -> None:
        self.outbox = Outbox(folder / "outbox.db", max_bytes=2**22)
        self.responses: list[Response] = []
        self.now = NOON
        clock = SystemClock(folder)
        recorder = Recorder(self.outbox, clock, boot="b")
        self.slots = {name: ScriptedSlot() for name in pipelines}
        self.pipelines = [
            Pipeline(
                name,
                settings,
                self.slots[name],
                source=lambda settings=settings: make_source(settings, subscribe=lambda topic: None),  # type: ignore[arg-type,return-value,misc]  # mypy types no lambda with a default
                recorder=recorder,
                on_end=lambda name: self.agent.ended(name),
                local_time=lambda: self.now,
            )
            for name, settings in pipelines.items()
        ]
        parts = Parts(
            pipelines=self.pipelines,
            recorder=recorder,
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
        self.agent = Agent(parts, report_interval_s=report_interval_s)
        self._kept: list[Telemetry | Event] = []
        self._thread = threading.Thread(target=self.agent.run)
        self._thread.start()

    @property
    def seen(self) -> list[str]:
        return self.slots["main"].seen

    def command(self, name: str) -> None:
        self.agent.command(encode_notice(Command(id=f"{name}-1", name=name, issued_ms=1)), False)

    def stop(self) -> None:
        self.agent.stop("test")
        self.wait()

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
    """Starts an agent with a pipeline `main`; settings that are not given suit a test."""
    started: list[Running] = []
    (tmp_path / "in").mkdir()

    def start(
        *names: str,
        report_interval_s: float = 10.0,
        health: Callable[[], Mapping[str, float]] = dict,
        others: Mapping[str, PipelineSettings] | None = None,
        **main: Any,
    ) -> Running:
        for name in names:
            Image.new("RGB", (4, 4)).save(tmp_path / "in" / name)
        made = settings(tmp_path / "in", **main)
        pipelines = {"main": made, **(others or {})}
        started.append(Running(tmp_path, pipelines, report_interval_s=report_interval_s, health=health))
        return started[-1]

    yield start
    for one in started:
        one.stop()
        one.outbox.close()


def settings(folder: Path, **more: Any) -> PipelineSettings:
    return PipelineSettings(
        **{"model": Path("m"), "source": (SourceWord(folder),), "interval_s": 0.0, **more}
    )


def test_the_first_report_comes_at_once_and_the_last_at_the_stop(run: Callable[..., Running]) -> None:
    running = run("a.jpg", report_interval_s=3600.0)
    wait_until(running.telemetry, "the first report, with nothing to wait for")
    seen = len(running.seen)
    wait_until(lambda: len(running.seen) > seen + 5, "it infers")
    running.stop()
    first, last = running.telemetry()
    assert first.metrics["model.inferences"] < last.metrics["model.inferences"]
    assert last.metrics["model.inferences"] == len(running.seen)


def test_predictions_are_told_only_when_asked_for(run: Callable[..., Running]) -> None:
    running = run("a.jpg", loop=False)
    running.wait()
    assert running.events("prediction") == []
    assert [event.message for event in running.events("source.ended")] == ["every input was looked at once"]


def test_an_unforeseen_failure_of_one_input_is_counted_and_the_next_is_taken(
    run: Callable[..., Running],
) -> None:
    running = run("a.jpg", "bad.jpg", "c.jpg", "d-bad.jpg", loop=False, events="all")
    running.wait()
    assert running.seen == ["a.jpg", "bad.jpg", "c.jpg", "d-bad.jpg"]
    assert running.telemetry()[-1].metrics["model.errors"] == 2
    (event,) = running.events("input.failed")
    assert event.message == "MemoryError('no room')"
    assert event.data == {"errors_so_far": 1, "input": "bad.jpg"}
    told = [event.data for event in running.events("prediction")]
    assert [data["input"] for data in told] == ["a.jpg", "c.jpg"]
    assert told[0] == {"input": "a.jpg", "label": "cat", "score": 0.75, "latency_ms": 2.0}


def test_a_missing_folder_is_told_once_and_waited_for_without_a_busy_loop(
    run: Callable[..., Running], tmp_path: Path
) -> None:
    running = run(source=(SourceWord(tmp_path / "usb"),))
    wait_until(lambda: running.events("source.failed"), "the event")
    running.command("report-now")
    wait_until(lambda: running.responses, "commands are answered meanwhile")
    assert len(running.events("source.failed")) == 1
    assert running.seen == []
    (tmp_path / "usb").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "usb/late.jpg")
    wait_until(lambda: "late.jpg" in running.seen, "the folder that came is read")


def test_health_that_fails_does_not_stop_the_inferences(run: Callable[..., Running]) -> None:
    def broken() -> dict[str, float]:
        raise RuntimeError("no /proc")

    running = run("a.jpg", health=broken)
    wait_until(lambda: len(running.seen) > 3, "it goes on")


def test_reports_keep_to_their_interval_while_inputs_are_rare(run: Callable[..., Running]) -> None:
    running = run("a.jpg", interval_s=3600.0, report_interval_s=0.1)
    wait_until(lambda: len(running.telemetry()) >= 4, "four reports")
    assert running.seen == ["a.jpg"]


def test_several_pipelines_run_side_by_side_and_report_under_their_names(
    run: Callable[..., Running], tmp_path: Path
) -> None:
    (tmp_path / "door").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "door/d-bad.jpg")
    door = settings(tmp_path / "door", loop=False)
    running = run("a.jpg", loop=False, others={"door": door})
    running.wait()
    last = running.telemetry()[-1].metrics
    assert (last["model.inferences"], last["model.errors"]) == (1, 0)
    assert (last["door/model.inferences"], last["door/model.errors"]) == (0, 1)
    (event,) = running.events("input.failed")
    assert event.data["pipeline"] == "door"
    assert running.agent.stop_reason == "every source ended"


def test_one_source_that_ends_leaves_the_others_at_work(run: Callable[..., Running], tmp_path: Path) -> None:
    (tmp_path / "door").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "door/d.jpg")
    running = run("a.jpg", others={"door": settings(tmp_path / "door", loop=False)})
    wait_until(lambda: running.events("source.ended"), "the door's source ended")
    before = len(running.seen)
    wait_until(lambda: len(running.seen) > before + 3, "the main pipeline goes on")


def test_out_of_its_hours_a_pipeline_looks_at_nothing(run: Callable[..., Running]) -> None:
    running = run("a.jpg", schedule=SHOP_HOURS)
    wait_until(lambda: len(running.seen) > 3, "it is noon")
    running.now = NIGHT
    wait_until(lambda: running.pipelines[0]._open_source is None, "the source is closed for the night")
    seen = len(running.seen)
    running.command("report-now")
    wait_until(lambda: running.responses, "it still answers")
    assert len(running.seen) == seen
    running.now = NOON
    wait_until(lambda: len(running.seen) > seen, "it goes on")


def test_listeners_hear_every_answer_and_one_that_fails_stops_nothing(run: Callable[..., Running]) -> None:
    class Broken:
        def hear(self, answered: Answered) -> None:
            raise RuntimeError("no")

    class Ear:
        def __init__(self) -> None:
            self.heard: list[Answered] = []

        def hear(self, answered: Answered) -> None:
            self.heard.append(answered)

    running, ear = run("a.jpg"), Ear()
    running.pipelines[0].listen(Broken())
    running.pipelines[0].listen(ear)
    wait_until(lambda: len(ear.heard) > 3, "answers are heard")
    running.pipelines[0].unlisten(ear)
    assert (ear.heard[0].input_name, ear.heard[0].answer.top.label) == ("a.jpg", "cat")
    (event,) = running.events("rule.failed")
    assert event.message == "Broken: RuntimeError('no')"


def test_a_model_is_exchanged_between_two_inputs(run: Callable[..., Running]) -> None:
    running = run("a.jpg")
    running.pipelines[0].exchange(Path("other"))
    assert running.slots["main"].exchanged == [Path("other")]
    seen = len(running.seen)
    wait_until(lambda: len(running.seen) > seen, "it goes on")
