"""Puts the agent together from its settings, runs it, and takes it down in order."""

import contextlib
import logging
import queue
import secrets
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgewise_agent.agent import LONGEST_STEP_S, Agent, Parts
from edgewise_agent.clock import SystemClock
from edgewise_agent.commands.actions import CommandActions
from edgewise_agent.commands.desk import Action
from edgewise_agent.commands.guard import CommandGuard
from edgewise_agent.connection.backoff import phase
from edgewise_agent.connection.courier_setup import make_courier
from edgewise_agent.outbox.outbox import Outbox
from edgewise_agent.outbox.setup import stamp_records
from edgewise_agent.pipelines.assembly import Assembly, client_id
from edgewise_agent.privacy.destinations import destination_of
from edgewise_agent.protection.wiring import protecting, tell_of_starts
from edgewise_agent.recorder import Recorder
from edgewise_agent.resources import Resources, open_resources
from edgewise_agent.restart import leave_at_once
from edgewise_agent.service.unattended import Unattended
from edgewise_agent.settings.change import SettingsChange
from edgewise_agent.settings.config import Settings
from edgewise_agent.settings.trial import SettingsTrial
from edgewise_agent.updates.assembly import make_updaters, updating
from edgewise_agent.vitals import Vitals
from edgewise_agent.wire.json_profile import parse_command
from edgewise_messages import DeviceAddress, Response, Severity, SnapshotChunk

if TYPE_CHECKING:
    from edgewise_agent.updates.model_updater import ModelUpdater

DRAIN_S = 3.0
"""Most that a graceful stop spends on sending what is still waiting; the rest waits on disk."""

log = logging.getLogger("edgewise.agent.run")


@dataclass
class Ending:
    """How the agent ends: filled in by whoever asks for a restart."""

    restart: bool = False
    left_behind: list[str] = field(default_factory=list)
    """Threads that are inside a runtime and do not come back."""
    stop: Callable[[str], None] = lambda reason: None

    def ask_restart(self, reason: str) -> None:
        """Stop in order, and start again."""
        self.restart = True
        self.stop(reason)


def run_agent(settings: Settings, change: SettingsChange | None = None) -> bool:
    """Run until SIGTERM, SIGINT, a command, or the end of all sources; whether it is to start again.

    ``change`` is the settings file's, for commands to change it. Raises AgentError or edgewise.EdgewiseError when
    it cannot begin.
    """
    ending = Ending()
    with contextlib.ExitStack() as stack:
        _run(open_resources(settings, change, stack), ending)
    if ending.left_behind and not ending.restart:
        leave_at_once()
    return ending.restart


def _run(held: Resources, ending: Ending) -> None:
    settings, outbox = held.settings, held.outbox
    boot, clock = secrets.token_hex(8), SystemClock()
    unattended, power = held.unattended, held.power
    recorder = Recorder(outbox, clock, boot=boot, board=unattended.board)
    stamp_records(outbox, clock, boot=boot)
    responses: queue.SimpleQueue[Response | SnapshotChunk] = queue.SimpleQueue()
    vitals = Vitals(disk=settings.device.state_dir, power=power)
    assembly = Assembly(
        settings,
        recorder,
        held.state,
        temperature_c=vitals.temperature_c,
        on_end=lambda name: agent.ended(name),
        keeping=held.keeping,
        offloader=held.offloader,
        heartbeats=unattended.heartbeats,
        power=power,
        on_exchange=lambda name, text: agent.exchanged(name, text),
        chosen=held.chosen,
    )
    pipelines = {name: assembly.pipeline(name, slot) for name, slot in held.slots.items()}
    updaters = make_updaters(
        settings,
        pipelines,
        held.stores,
        recorder,
        chosen=held.chosen,
        is_stopping=lambda: bool(agent.stop_reason),
        restart=ending.ask_restart,
    )
    tell_of_starts(recorder, held.chosen, held.stores, updaters)
    parts = Parts(
        pipelines=list(pipelines.values()),
        recorder=recorder,
        outbox=outbox,
        clock=clock,
        health=lambda: {**vitals.read(), **assembly.metrics()},
        beat=unattended.heartbeats.part("loop", within_s=LONGEST_STEP_S),
        parse_command=parse_command,
        respond=responses.put,
        latency={name: assembly.latency_watch(name, slot) for name, slot in held.slots.items()},
        guard=_make_guard(settings, clock),
        actions=_actions(held, updaters, responses, ending),
    )
    interval_s = settings.report.interval_s
    agent = Agent(parts, report_interval_s=interval_s, phase_s=phase(client_id(settings), interval_s))
    ending.stop = agent.stop
    trial = _watch_settings(held.change, recorder, ending)
    courier = make_courier(
        settings,
        parts,
        responses=responses,
        on_command=agent.command,
        on_connection=_tell_connection(unattended, trial),
        drift_in_words=assembly.drift_in_words,
        power=power.source,
        beat=unattended.heartbeats.part("courier", within_s=LONGEST_STEP_S),
    )
    names = ", ".join(slot.info().name for slot in held.slots.values()) or "no model"
    recorder.event("agent.started", data={"model": names}, durable=True)
    log.info("device %s runs %s, boot %s", settings.device.id, names, boot)
    _show(held, names)
    with (
        _stopping_on_signals(agent),
        _committing(outbox, settings.outbox.commit_interval_s),
        updating(updaters, held.stores, ending.left_behind),
        protecting(
            settings,
            held.state,
            pipelines,
            updaters,
            held.chosen,
            recorder,
            is_stopping=lambda: bool(agent.stop_reason),
        ),
    ):
        courier.start()
        try:
            agent.run()
        finally:
            unattended.stopping(agent.stop_reason)
            for name in agent.left_behind:
                held.slots[name].abandon()
                ending.left_behind.append(name)
            recorder.event("agent.stopped", agent.stop_reason, durable=True)
            log.info("stopping: %s", agent.stop_reason or "after an error")
            courier.stop(reason=agent.stop_reason, drain_s=DRAIN_S)
            log.info("stopped; %d records wait for the next start", outbox.state().records)


def _show(held: Resources, names: str) -> None:
    """On the status page, and to systemd that the start is over."""
    board, settings = held.unattended.board, held.settings
    for name, slot in held.slots.items():
        info = slot.info()
        facts = ("name", "task", "precision", "target", "backend", "sha256")
        whose = "model" if len(held.chosen) == 1 else f"model of {name}"
        board.tell(whose, **{fact: getattr(info, fact) for fact in facts})
    for name, one in held.chosen.items():
        if one.is_stopped:
            whose = "model" if len(held.chosen) == 1 else f"model of {name}"
            board.tell(whose, name=one.model.path.name, stopped=one.why_stopped)
    board.tell("broker", url=", ".join(settings.broker.url), connected=False)
    board.tell("power", source=held.power.source)
    held.unattended.ready(f"runs {names}")


def _tell_connection(unattended: Unattended, trial: SettingsTrial | None) -> Callable[[bool, str], None]:
    def tell(is_connected: bool, why: str) -> None:
        unattended.on_connection(is_connected, why)
        if is_connected and trial is not None:
            trial.connected()

    return tell


def _make_guard(settings: Settings, clock: SystemClock) -> CommandGuard:
    return CommandGuard(
        settings.commands,
        address=DeviceAddress(settings.device.group, settings.device.id),
        memory_file=settings.device.state_dir / "commands.json",
        clock=clock,
    )


def _actions(
    held: Resources,
    updaters: "Mapping[str, ModelUpdater]",
    responses: "queue.SimpleQueue[Response | SnapshotChunk]",
    ending: Ending,
) -> dict[str, Action]:
    """Of commands beside those that the loop does itself."""
    settings = held.settings
    changing = CommandActions(
        settings.commands, change=held.change, updates=updaters, restart=ending.ask_restart
    )
    keeping = held.keeping.actions(
        to=[destination_of(url, settings.privacy) for url in settings.broker.url],
        publish=responses.put,
        waiting=responses.qsize,
    )
    return {**changing.actions(), **keeping}


def _watch_settings(
    change: SettingsChange | None, recorder: Recorder, ending: Ending
) -> SettingsTrial | None:
    """New settings have so long to reach the broker."""
    if change is None:
        return None

    def tell(event: str, message: str, severity: Severity) -> None:
        recorder.event(event, message, severity=severity, durable=True)

    within_s = change.connect_within_s
    trial = SettingsTrial(change, tell=tell, restart=ending.ask_restart)
    if change.is_on_trial:
        timer = threading.Timer(within_s + 0.1, trial.check)
        timer.daemon = True
        timer.start()
    return trial


@contextlib.contextmanager
def _committing(outbox: Outbox, interval_s: float) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=outbox.keep_committing, args=(stop, interval_s), name="committer")
    thread.daemon = True
    thread.start()
    try:
        yield
    finally:
        stop.set()
        outbox.wake()
        thread.join()


@contextlib.contextmanager
def _stopping_on_signals(agent: Agent) -> Iterator[None]:
    """The first SIGTERM or SIGINT stops in order; a second SIGINT ends at once."""

    def on_signal(number: int, frame: object) -> None:
        if agent.stop_reason and number == signal.SIGINT:
            raise KeyboardInterrupt
        agent.stop(signal.Signals(number).name)

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
