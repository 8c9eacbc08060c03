"""Puts the agent together from its settings, runs it, and takes it down in order."""

import contextlib
import logging
import queue
import secrets
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from edgewise_agent.agent import Agent, Parts
from edgewise_agent.backoff import phase
from edgewise_agent.clock import SystemClock
from edgewise_agent.command_actions import CommandActions
from edgewise_agent.command_guard import CommandGuard
from edgewise_agent.commands import Action
from edgewise_agent.config import Settings
from edgewise_agent.courier_setup import make_courier
from edgewise_agent.health import BoardHealth
from edgewise_agent.outbox import Outbox
from edgewise_agent.outbox_setup import stamp_records
from edgewise_agent.pipelines.assembly import Assembly, client_id
from edgewise_agent.privacy.destinations import destination_of
from edgewise_agent.recorder import Recorder
from edgewise_agent.resources import Resources, open_resources
from edgewise_agent.settings_change import SettingsChange
from edgewise_agent.settings_trial import SettingsTrial
from edgewise_agent.updates.assembly import make_managers, updating
from edgewise_agent.updates.manager import UpdateManager
from edgewise_agent.wire.json_profile import parse_command
from edgewise_messages import DeviceAddress, Response, Severity, SnapshotChunk

DRAIN_S = 3.0
"""Most that a graceful stop spends on sending what is still waiting; the rest waits on disk."""

log = logging.getLogger("edgewise.agent.run")


@dataclass
class Ending:
    """How the agent ends: filled in by whoever asks for a restart."""

    restart: bool = False
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
    return ending.restart


def _run(held: Resources, ending: Ending) -> None:
    settings, outbox = held.settings, held.outbox
    boot, clock = secrets.token_hex(8), SystemClock()
    recorder = Recorder(outbox, clock, boot=boot)
    stamp_records(outbox, clock, boot=boot)
    responses: queue.SimpleQueue[Response | SnapshotChunk] = queue.SimpleQueue()
    health = BoardHealth(disk=settings.device.state_dir)
    assembly = Assembly(
        settings,
        recorder,
        held.state,
        temperature_c=health.temperature_c,
        on_end=lambda name: agent.ended(name),
        keeping=held.keeping,
        offloader=held.offloader,
    )
    pipelines = {name: assembly.pipeline(name, slot) for name, slot in held.slots.items()}
    managers = make_managers(
        settings, pipelines, held.stores, recorder, is_stopping=lambda: bool(agent.stop_reason)
    )
    parts = Parts(
        pipelines=list(pipelines.values()),
        recorder=recorder,
        outbox=outbox,
        clock=clock,
        health=lambda: {**health.read(), **assembly.metrics()},
        parse_command=parse_command,
        respond=responses.put,
        guard=_make_guard(settings, clock),
        actions=_actions(held, managers, responses, ending),
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
        on_connected=trial.connected if trial else lambda: None,
        drift_in_words=assembly.drift_in_words,
    )
    names = ", ".join(slot.info().name for slot in held.slots.values())
    recorder.event("agent.started", data={"model": names}, durable=True)
    log.info("device %s runs %s, boot %s", settings.device.id, names, boot)
    with (
        _stopping_on_signals(agent),
        _committing(outbox, settings.outbox.commit_interval_s),
        updating(managers, held.stores),
    ):
        courier.start()
        try:
            agent.run()
        finally:
            recorder.event("agent.stopped", agent.stop_reason, durable=True)
            log.info("stopping: %s", agent.stop_reason or "after an error")
            courier.stop(reason=agent.stop_reason, drain_s=DRAIN_S)
            log.info("stopped; %d records wait for the next start", outbox.state().records)


def _make_guard(settings: Settings, clock: SystemClock) -> CommandGuard:
    return CommandGuard(
        settings.commands,
        address=DeviceAddress(settings.device.group, settings.device.id),
        memory_file=settings.device.state_dir / "commands.json",
        clock=clock,
    )


def _actions(
    held: Resources,
    managers: Mapping[str, UpdateManager],
    responses: "queue.SimpleQueue[Response | SnapshotChunk]",
    ending: Ending,
) -> dict[str, Action]:
    """Of commands beside those that the loop does itself."""
    settings = held.settings
    changing = CommandActions(
        settings.commands, change=held.change, updates=managers, restart=ending.ask_restart
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
