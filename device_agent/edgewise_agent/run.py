"""Puts the agent together from its settings, runs it, and takes it down in order."""

import contextlib
import logging
import queue
import secrets
import signal
import threading
from collections.abc import Callable, Iterator, Mapping

from edgewise_agent.agent import Agent, Parts
from edgewise_agent.backoff import Backoff, phase
from edgewise_agent.broker import BrokerConnection
from edgewise_agent.clock import SystemClock
from edgewise_agent.command_guard import CommandGuard
from edgewise_agent.config import Settings
from edgewise_agent.courier import Courier
from edgewise_agent.description import describe
from edgewise_agent.health import BoardHealth
from edgewise_agent.outbox import Outbox
from edgewise_agent.pipelines.assembly import Assembly, client_id, open_models
from edgewise_agent.pipelines.model_slot import ModelSlot
from edgewise_agent.recorder import Recorder
from edgewise_agent.state_folder import StateFolder
from edgewise_agent.wire.json_profile import JsonProfile
from edgewise_agent.wire.message import Message
from edgewise_messages import DeviceAddress, Response

DRAIN_S = 3.0
"""Most that a graceful stop spends on sending what is still waiting; the rest waits on disk."""

log = logging.getLogger("edgewise.agent.run")


def run_agent(settings: Settings) -> str:
    """Run until SIGTERM, SIGINT, a stop command, or the end of all sources; return which of them it was.

    Raises AgentError or edgewise.EdgewiseError when it cannot begin.
    """
    with StateFolder(settings.device.state_dir) as state, contextlib.ExitStack() as stack:
        slots = open_models(settings, stack)
        outbox = Outbox(state.outbox, max_bytes=settings.outbox.max_mb * 1024 * 1024)
        stack.callback(outbox.close)
        return _run(settings, slots, outbox, state)


def _run(settings: Settings, slots: Mapping[str, ModelSlot], outbox: Outbox, state: StateFolder) -> str:
    boot, clock = secrets.token_hex(8), SystemClock()
    recorder = Recorder(outbox, clock, boot=boot)
    profile = JsonProfile(DeviceAddress(settings.device.group, settings.device.id), boot=boot)
    responses: queue.SimpleQueue[Response] = queue.SimpleQueue()
    health = BoardHealth(disk=settings.device.state_dir)
    assembly = Assembly(
        settings, recorder, state, temperature_c=health.temperature_c, on_end=lambda name: agent.ended(name)
    )
    pipelines = [assembly.pipeline(name, slot) for name, slot in slots.items()]
    parts = Parts(
        pipelines=pipelines,
        recorder=recorder,
        outbox=outbox,
        clock=clock,
        health=health.read,
        parse_command=profile.parse_command,
        respond=responses.put,
        guard=CommandGuard(
            settings.commands,
            address=DeviceAddress(settings.device.group, settings.device.id),
            memory_file=settings.device.state_dir / "commands.json",
            clock=SystemClock(),
        ),
    )
    interval_s = settings.report.interval_s
    agent = Agent(parts, report_interval_s=interval_s, phase_s=phase(client_id(settings), interval_s))
    courier = _make_courier(settings, parts, profile, responses, agent.command, assembly.drift_in_words)
    models = {name: slot.info().name for name, slot in slots.items()}
    recorder.event("agent.started", data={"model": ", ".join(models.values())}, durable=True)
    log.info("device %s runs %s, boot %s", settings.device.id, ", ".join(models.values()), boot)
    with _stopping_on_signals(agent), _committing(outbox, settings.outbox.commit_interval_s):
        courier.start()
        try:
            agent.run()
        finally:
            recorder.event("agent.stopped", agent.stop_reason, durable=True)
            log.info("stopping: %s", agent.stop_reason or "after an error")
            courier.stop(reason=agent.stop_reason, drain_s=DRAIN_S)
            log.info("stopped; %d records wait for the next start", outbox.state().records)
    return agent.stop_reason


def _make_courier(
    settings: Settings,
    parts: Parts,
    profile: JsonProfile,
    responses: "queue.SimpleQueue[Response]",
    on_command: Callable[[bytes, bool], None],
    drift_in_words: Callable[[], str],
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

    return Courier(
        parts.outbox,
        connect,
        profile,
        Backoff(f"{name} {boot}", longest_s=settings.broker.reconnect_max_s),
        meta=lambda: describe(
            settings,
            models={one.name: one.slot.info() for one in parts.pipelines},
            boot=boot,
            clock=clock,
            drift=drift_in_words(),
        ),
        now_ms=clock.now_ms,
        responses=responses,
        on_command=on_command,
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
