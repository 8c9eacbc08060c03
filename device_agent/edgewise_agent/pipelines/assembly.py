"""Pipelines from the settings: models opened, sources named, drift watched."""

import contextlib
import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import edgewise
from edgewise.threads import ThreadBudget
from edgewise_agent.connection.backoff import Backoff
from edgewise_agent.connection.broker import Connection
from edgewise_agent.connection.connector import Connector
from edgewise_agent.diagnosis import LatencyWatch
from edgewise_agent.errors import ModelUnfit
from edgewise_agent.keeping import Keeping
from edgewise_agent.pipelines.drift_watch import DriftWatch
from edgewise_agent.pipelines.duty import Duty, DutyCycle, battery_percent
from edgewise_agent.pipelines.model_slot import ModelSlot
from edgewise_agent.pipelines.pipeline import LONGEST_INFERENCE_S, MAIN, Pipeline
from edgewise_agent.pipelines.rules_watch import RulesWatch, WatchParts
from edgewise_agent.pipelines.settings import PipelineSettings
from edgewise_agent.privacy.names import Names
from edgewise_agent.recorder import Recorder
from edgewise_agent.rules.sampling import Sampler
from edgewise_agent.rules.vocabulary import KINDS
from edgewise_agent.service.heartbeat import Heartbeats, never_mind
from edgewise_agent.settings.config import Settings
from edgewise_agent.sources.choice import make_source
from edgewise_agent.state_folder import StateFolder
from edgewise_agent.updates.model_store import ModelStore, Running
from edgewise_agent.updates.opening import open_current
from edgewise_agent.vitals.power import PowerWatch
from edgewise_agent.wire.message import Message
from edgewise_messages import Severity
from edgewise_messages.metrics import PIPELINE_SEPARATOR

if TYPE_CHECKING:
    from edgewise_agent.offload import Offloader
    from edgewise_agent.protection.choosing import Chosen
    from edgewise_agent.sources.pushed import Receiver

SYSTEMDS_TURN_S = 30.0
"""An inference that the agent should have ended itself is told to systemd's watchdog so much later."""

log = logging.getLogger("edgewise.agent.pipeline")


def client_id(settings: Settings) -> str:
    """The MQTT client id: one connection per device, also when devices of two groups share an id."""
    return f"edgewise:{settings.device.group}:{settings.device.id}"


def open_models(
    settings: Settings,
    stores: Mapping[str, ModelStore],
    stack: contextlib.ExitStack,
    chosen: "Mapping[str, Chosen]",
) -> dict[str, ModelSlot]:
    """Each model that is not stopped, by pipeline, closed with ``stack``. Several share the board's cores.

    Raises edgewise.EdgewiseError or ModelUnfit.
    """
    budget = ThreadBudget() if len(settings.pipelines) > 1 else None
    slots: dict[str, ModelSlot] = {}
    for name, pipeline in settings.pipelines.items():
        if chosen[name].is_stopped:
            continue
        try:
            slots[name], running = open_current(stores[name], _opener(pipeline, budget, chosen[name]))
            log.info("%s: runs %s: %s", name, running.path.name, running.reason)
        except (edgewise.EdgewiseError, ModelUnfit) as error:
            if len(settings.pipelines) == 1:
                raise
            raise ModelUnfit(f"pipelines.{name}: {error}") from error
        stack.callback(slots[name].close)
    return slots


def _opener(
    settings: PipelineSettings, budget: ThreadBudget | None, chosen: "Chosen"
) -> Callable[[Running], ModelSlot]:
    def open_slot(running: Running) -> ModelSlot:
        if running != chosen.model:  # that one cannot be opened
            chosen.runs(running)
        chosen.keeper.marker.begin()
        try:
            return ModelSlot(settings, running.path, budget=budget)
        finally:
            chosen.keeper.marker.end()

    return open_slot


class Assembly:
    """What the pipelines of one device have in common."""

    def __init__(
        self,
        settings: Settings,
        recorder: Recorder,
        state: StateFolder,
        *,
        temperature_c: Callable[[], float | None],
        on_end: Callable[[str], None],
        keeping: Keeping | None = None,
        offloader: "Offloader | None" = None,
        heartbeats: Heartbeats | None = None,
        power: PowerWatch | None = None,
        on_exchange: Callable[[str, str], None] = lambda name, text: None,
        chosen: "Mapping[str, Chosen] | None" = None,
        power_supplies: Path | None = None,
    ) -> None:
        self._settings, self._recorder, self._state, self._on_end = settings, recorder, state, on_end
        charge = battery_percent if power_supplies is None else lambda: battery_percent(power_supplies)
        self._duty = DutyCycle(
            settings.duty, temperature_c=temperature_c, battery_percent=charge, on_change=self._tell_duty
        )
        self._said_of_drift: dict[str, str] = {}
        self._keeping, self._offloader, self._chosen = keeping, offloader, chosen or {}
        self._heartbeats, self._power, self._on_exchange = heartbeats, power, on_exchange
        self._watches: dict[str, RulesWatch] = {}

    def pipeline(self, name: str, slot: ModelSlot) -> Pipeline:
        """Not started yet. Raises InvalidSettings for rules that the model does not go with."""
        settings, hang_s = self._settings.pipelines[name], self._settings.protection.hang_s
        chosen = self._chosen.get(name)
        pipeline = Pipeline(
            name,
            settings,
            slot,
            source=lambda: make_source(settings, subscribe=self._receiver, block_samples=slot.block_samples),
            recorder=self._recorder,
            duty=self._duty,
            drift=lambda: self._watch_drift(name, slot),
            on_end=self._on_end,
            names=self._keeping.names if self._keeping else None,
            beat=self._heartbeats.part(f"pipeline {name}", within_s=math.inf)
            if self._heartbeats
            else never_mind,
            at_work=self._power.inference if self._power else contextlib.nullcontext,
            on_exchange=lambda text: self._on_exchange(name, text),
            mark=chosen.keeper.marker.mark if chosen else lambda is_busy: None,
            # systemd's turn comes after the agent's own.
            longest_s=hang_s + SYSTEMDS_TURN_S if hang_s else LONGEST_INFERENCE_S,
            first_wait_s=chosen.wait_s if chosen else 0.0,
        )
        self._watches[name] = self._watch_rules(name, slot)
        pipeline.listen(self._watches[name])
        return pipeline

    def latency_watch(self, name: str, slot: ModelSlot) -> LatencyWatch:
        """Of one pipeline, held to what the card promises for this board."""
        whose = "" if name == MAIN else name
        return LatencyWatch(self._recorder, pipeline=whose, promise_ms=slot.promise_ms)

    def metrics(self) -> dict[str, float | int]:
        """Of rules, sampling, snapshots and offload."""
        found: dict[str, float | int] = {}
        for name, watch in self._watches.items():
            prefix = "" if name == MAIN else f"{name}{PIPELINE_SEPARATOR}"
            found |= {f"{prefix}{metric}": value for metric, value in watch.metrics().items()}
        if self._keeping is not None:
            found |= self._keeping.metrics()
        if self._offloader is not None:
            found |= self._offloader.metrics()
        return found

    def drift_in_words(self) -> str:
        """Whether it is watched, and why not."""
        said = self._said_of_drift
        if len(said) == 1:
            return next(iter(said.values()))
        return "; ".join(f"{name} {words}" for name, words in said.items())

    def _watch_drift(self, name: str, slot: ModelSlot) -> DriftWatch | None:
        watch, words = self._make_watch(name, slot)
        self._said_of_drift[name] = words
        log.info("%s: drift is %s", name, words)
        return watch

    def _make_watch(self, name: str, slot: ModelSlot) -> tuple[DriftWatch | None, str]:
        """The watch, and in words whether there is one."""
        settings = self._settings.pipelines[name].drift
        if not settings.enabled:
            return None, f"off: pipelines.{name}.drift.enabled is false"
        reference = slot.drift_reference()
        if isinstance(reference, str):
            return None, f"off: {reference}"
        if not slot.observes:
            return None, "off: only of pictures so far"
        watch = DriftWatch(
            reference,
            self._recorder,
            settings,
            state_file=self._state.drift(name),
            model_sha256=slot.info().sha256,
            pipeline="" if name == MAIN else name,
        )
        return watch, f"on: against {reference.samples} samples of {reference.measured_on}"

    def _watch_rules(self, name: str, slot: ModelSlot) -> RulesWatch:
        settings = self._settings.pipelines[name]
        rules = sampler = None
        if settings.rules.rule:
            from edgewise_agent.rules import RuleSet  # loads a library that no other agent needs

            kind = KINDS.get(slot.info().task, "")
            rules = RuleSet(settings.rules, kind=kind, labels=tuple(slot.model.labels))
        if settings.sampling.enabled:
            sampler = Sampler(settings.sampling)
        parts = WatchParts(
            recorder=self._recorder,
            rules=rules,
            sampler=sampler,
            snapshots=self._keeping.snapshots if self._keeping else None,
            offloader=self._offloader,
            names=self._keeping.names if self._keeping else Names(names_leave=True),
            pipeline="" if name == MAIN else name,
        )
        return RulesWatch(parts)

    def _receiver(self, topic: str) -> "Receiver":
        """Subscribed on a connection of its own, under the device's name."""
        from edgewise_agent.sources.mqtt_inputs import MqttReceiver

        name = f"{client_id(self._settings)}:{topic}"

        def connect(on_message: Callable[[Message], None]) -> Connection:
            return Connector(self._settings.broker, client_id=name[:64])(on_message=on_message)

        backoff = Backoff(f"{name} {self._recorder.boot}", longest_s=self._settings.broker.reconnect_max_s)
        return MqttReceiver(topic, connect, backoff=backoff)

    def _tell_duty(self, duty: Duty, why: str) -> None:
        words = {Duty.FULL: "works at full pace again", Duty.SLOW: "works more slowly", Duty.PAUSED: "pauses"}
        message = f"{words[duty]}: {why}"
        log.warning("%s", message)
        severity = Severity.INFO if duty is Duty.FULL else Severity.WARNING
        self._recorder.event("duty.changed", message, severity=severity, data={"duty": duty.value})
