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
from edgewise_agent.backoff import Backoff, phase
from edgewise_agent.broker import BrokerConnection
from edgewise_agent.clock import SystemClock
from edgewise_agent.command_actions import CommandActions
from edgewise_agent.command_guard import CommandGuard
from edgewise_agent.config import Settings
from edgewise_agent.courier import Courier
from edgewise_agent.description import describe
from edgewise_agent.health import BoardHealth
from edgewise_agent.model_store import ModelStore
from edgewise_agent.outbox import Outbox
from edgewise_agent.pipelines.assembly import Assembly, client_id, open_models
from edgewise_agent.pipelines.model_slot import ModelSlot
from edgewise_agent.recorder import Recorder
from edgewise_agent.settings_change import SettingsChange
from edgewise_agent.settings_trial import SettingsTrial
from edgewise_agent.state_folder import StateFolder
from edgewise_agent.updates.assembly import make_managers, recovered_stores, updating
from edgewise_agent.wire.json_profile import parse_command
from edgewise_agent.wire.make_profile import DeviceFacts, make_profile
from edgewise_agent.wire.message import Message
from edgewise_messages import DeviceAddress, Response, Severity

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
    with StateFolder(settings.device.state_dir) as state, contextlib.ExitStack() as stack:
        stores = recovered_stores(settings)
        slots = open_models(settings, stores, stack)
        outbox = Outbox(state.outbox, max_bytes=settings.outbox.max_mb * 1024 * 1024)
        stack.callback(outbox.close)
        _run(settings, change, stores, slots, outbox, state, ending)
    return ending.restart


def _run(
    settings: Settings,
    change: SettingsChange | None,
    stores: Mapping[str, ModelStore],
    slots: Mapping[str, ModelSlot],
    outbox: Outbox,
    state: StateFolder,
    ending: Ending,
) -> None:
    boot, clock = secrets.token_hex(8), SystemClock()
    recorder = Recorder(outbox, clock, boot=boot)
    responses: queue.SimpleQueue[Response] = queue.SimpleQueue()
    health = BoardHealth(disk=settings.device.state_dir)
    assembly = Assembly(
        settings, recorder, state, temperature_c=health.temperature_c, on_end=lambda name: agent.ended(name)
    )
    pipelines = [assembly.pipeline(name, slot) for name, slot in slots.items()]
    by_name = {pipeline.name: pipeline for pipeline in pipelines}
    managers = make_managers(settings, by_name, stores, recorder, is_stopping=lambda: bool(agent.stop_reason))
    actions = CommandActions(settings.commands, change=change, updates=managers, restart=ending.ask_restart)
    parts = Parts(
        pipelines=pipelines,
        recorder=recorder,
        outbox=outbox,
        clock=clock,
        health=health.read,
        parse_command=parse_command,
        respond=responses.put,
        guard=CommandGuard(
            settings.commands,
            address=DeviceAddress(settings.device.group, settings.device.id),
            memory_file=settings.device.state_dir / "commands.json",
            clock=clock,
        ),
        actions=actions.actions(),
    )
    interval_s = settings.report.interval_s
    agent = Agent(parts, report_interval_s=interval_s, phase_s=phase(client_id(settings), interval_s))
    ending.stop = agent.stop
    trial = _watch_settings(change, recorder, ending)
    courier = _make_courier(settings, parts, responses, agent.command, assembly.drift_in_words, trial)
    models = {name: slot.info().name for name, slot in slots.items()}
    recorder.event("agent.started", data={"model": ", ".join(models.values())}, durable=True)
    log.info("device %s runs %s, boot %s", settings.device.id, ", ".join(models.values()), boot)
    with (
        _stopping_on_signals(agent),
        _committing(outbox, settings.outbox.commit_interval_s),
        updating(managers, stores),
    ):
        courier.start()
        try:
            agent.run()
        finally:
            recorder.event("agent.stopped", agent.stop_reason, durable=True)
            log.info("stopping: %s", agent.stop_reason or "after an error")
            courier.stop(reason=agent.stop_reason, drain_s=DRAIN_S)
            log.info("stopped; %d records wait for the next start", outbox.state().records)


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


def _make_courier(
    settings: Settings,
    parts: Parts,
    responses: "queue.SimpleQueue[Response]",
    on_command: Callable[[bytes, bool], None],
    drift_in_words: Callable[[], str],
    trial: SettingsTrial | None,
) -> Courier:
    boot, clock = parts.recorder.boot, parts.clock
    name = client_id(settings)

    def connect(
        *, will: Message, on_acknowledged: Callable[[int], None], on_message: Callable[[Message], None]
    ) -> BrokerConnection:
        return BrokerConnection(
            settings.broker,
            client_id=name,
            will=will,
            on_acknowledged=on_acknowledged,
            on_message=on_message,
        )

    facts = DeviceFacts(
        boot=boot,
        clock=clock,
        meta=lambda: describe(
            settings,
            models={one.name: one.slot.info() for one in parts.pipelines},
            boot=boot,
            clock=clock,
            drift=drift_in_words(),
        ),
        responses=responses,
        on_command=on_command,
    )
    backoff = Backoff(f"{name} {boot}", longest_s=settings.broker.reconnect_max_s)
    return Courier(
        parts.outbox,
        connect,
        make_profile(settings, facts),
        backoff,
        on_connected=trial.connected if trial else lambda: None,
    )


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
