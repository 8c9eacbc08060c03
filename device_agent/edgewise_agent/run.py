"""Puts the agent together from its settings, runs it, and takes it down in order."""

import contextlib
import logging
import queue
import secrets
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from edgewise_agent.agent import LONGEST_STEP_S, Agent, Parts
from edgewise_agent.backoff import Backoff, phase
from edgewise_agent.broker import BrokerConnection
from edgewise_agent.clock import SystemClock
from edgewise_agent.config import Settings
from edgewise_agent.courier import Courier
from edgewise_agent.description import describe, edgewise_version
from edgewise_agent.diagnosis import LatencyWatch
from edgewise_agent.drift_watch import DriftWatch
from edgewise_agent.log_file import log_to_file
from edgewise_agent.model_runner import ModelRunner
from edgewise_agent.outbox import Outbox
from edgewise_agent.recorder import Recorder
from edgewise_agent.service.unattended import Unattended
from edgewise_agent.sources.images import ImageFiles
from edgewise_agent.state_folder import StateFolder
from edgewise_agent.vitals import Vitals
from edgewise_agent.vitals.power import PowerWatch
from edgewise_agent.vitals.power_choice import make_power_watch
from edgewise_agent.wire.json_profile import JsonProfile
from edgewise_agent.wire.message import Message
from edgewise_messages import DeviceAddress, Response

DRAIN_S = 3.0
"""Most that a graceful stop spends on sending what is still waiting; the rest waits on disk."""

log = logging.getLogger("edgewise.agent.run")


def run_agent(settings: Settings) -> str:
    """Run until SIGTERM, SIGINT, a stop command, or the end of the source; return which of them it was.

    Raises AgentError or edgewise.EdgewiseError when it cannot begin.
    """
    with StateFolder(settings.device.state_dir) as state, contextlib.ExitStack() as stack:
        log_file = log_to_file(state.path, settings.logs)
        if log_file is not None:
            stack.callback(log_file.close)
        unattended = stack.enter_context(
            Unattended(
                group=settings.device.group,
                device=settings.device.id,
                status=settings.status,
                version=edgewise_version(),
            )
        )
        power = make_power_watch(settings.power)
        power.start()
        stack.callback(power.close)
        runner = ModelRunner(settings.model.path, observes=settings.drift.enabled)
        stack.callback(runner.close)
        outbox = Outbox(state.outbox, max_bytes=settings.outbox.max_mb * 1024 * 1024)
        stack.callback(outbox.close)
        return _run(settings, runner, outbox, state.drift, unattended, power)


def client_id(settings: Settings) -> str:
    """The MQTT client id: one connection per device, also when devices of two groups share an id."""
    return f"edgewise:{settings.device.group}:{settings.device.id}"


def _run(
    settings: Settings,
    runner: ModelRunner,
    outbox: Outbox,
    drift_file: Path,
    unattended: Unattended,
    power: PowerWatch,
) -> str:
    boot = secrets.token_hex(8)
    recorder = Recorder(outbox, SystemClock(), boot=boot, board=unattended.board)
    profile = JsonProfile(DeviceAddress(settings.device.group, settings.device.id), boot=boot)
    responses: queue.SimpleQueue[Response] = queue.SimpleQueue()
    drift, said_of_drift = _watch_drift(settings, runner, recorder, drift_file)
    log.info("drift is %s", said_of_drift)
    parts = Parts(
        source=ImageFiles(
            settings.source.path, loop=settings.source.loop, recursive=settings.source.recursive
        ),
        runner=runner,
        recorder=recorder,
        outbox=outbox,
        clock=SystemClock(),
        health=Vitals(disk=settings.device.state_dir, power=power).read,
        beat=unattended.heartbeats.part("loop", within_s=LONGEST_STEP_S),
        power=power,
        latency=LatencyWatch(recorder),
        parse_command=profile.parse_command,
        respond=responses.put,
        drift=drift,
    )
    own_phase_s = phase(client_id(settings), settings.report.interval_s)
    agent = Agent(parts, source=settings.source, report=settings.report, phase_s=own_phase_s)
    courier = _make_courier(settings, parts, profile, responses, agent.command, said_of_drift, unattended)
    recorder.event("agent.started", data={"model": runner.info().name}, durable=True)
    log.info("device %s runs %s, boot %s", settings.device.id, settings.model.path.name, boot)
    unattended.board.tell("model", **_model_facts(runner), drift=said_of_drift)
    unattended.board.tell("broker", url=str(settings.broker.url), connected=False)
    unattended.board.tell("power", source=power.source)
    unattended.ready(f"runs {runner.info().name}")
    with _stopping_on_signals(agent), _committing(outbox, settings.outbox.commit_interval_s):
        courier.start()
        try:
            agent.run()
        finally:
            unattended.stopping(agent.stop_reason)
            _take_down(agent, courier, parts)
    return agent.stop_reason


def _take_down(agent: Agent, courier: Courier, parts: Parts) -> None:
    if parts.drift is not None:
        parts.drift.save()
    parts.recorder.event("agent.stopped", agent.stop_reason, durable=True)
    log.info("stopping: %s", agent.stop_reason or "after an error")
    courier.stop(reason=agent.stop_reason, drain_s=DRAIN_S)
    log.info("stopped; %d records wait for the next start", parts.outbox.state().records)


def _watch_drift(
    settings: Settings, runner: ModelRunner, recorder: Recorder, state_file: Path
) -> tuple[DriftWatch | None, str]:
    """The watch, and in words whether there is one."""
    if not settings.drift.enabled:
        return None, "off: drift.enabled is false"
    reference = runner.drift_reference()
    if isinstance(reference, str):
        return None, f"off: {reference}"
    watch = DriftWatch(
        reference, recorder, settings.drift, state_file=state_file, model_sha256=runner.info().sha256
    )
    return watch, f"on: against {reference.samples} samples of {reference.measured_on}"


def _make_courier(
    settings: Settings,
    parts: Parts,
    profile: JsonProfile,
    responses: "queue.SimpleQueue[Response]",
    on_command: Callable[[bytes, bool], None],
    said_of_drift: str,
    unattended: Unattended,
) -> Courier:
    boot, clock, name = parts.recorder.boot, parts.clock, client_id(settings)
    power = parts.power.source if parts.power else ""

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
            settings, model=parts.runner.info(), boot=boot, clock=clock, drift=said_of_drift, power=power
        ),
        now_ms=clock.now_ms,
        responses=responses,
        on_command=on_command,
        beat=unattended.heartbeats.part("courier", within_s=LONGEST_STEP_S),
        on_connection=unattended.on_connection,
    )


def _model_facts(runner: ModelRunner) -> dict[str, str]:
    info = runner.info()
    return {
        name: getattr(info, name) for name in ("name", "task", "precision", "target", "backend", "sha256")
    }


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
