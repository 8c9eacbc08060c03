"""Drives one pipeline from the model it has to the model it should have, a step at a time."""

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import edgewise
from edgewise_agent.commands.desk import Refuse
from edgewise_agent.errors import AgentError, RepositoryRefused, StoreError
from edgewise_agent.updates.judging import figures_of, is_over, judge_shadow, judge_watch
from edgewise_agent.updates.live_model import LiveModel, ModelHealth
from edgewise_agent.updates.model_store import SHADOW, ModelStore, Running, file_sha256, slot_model
from edgewise_agent.updates.settings import UpdateSettings
from edgewise_agent.updates.store_state import Place, SlotModel, Stage
from edgewise_agent.updates.trial import Trial
from edgewise_messages import Severity

if TYPE_CHECKING:
    from edgewise_agent.updates.places import ModelSource

WATCH_TURN_S = 1.0
RETRY_S = 30.0
"""After a failure the next look waits for this, then twice as long each time, up to updates.poll_s."""

Scalar = str | float | int | bool | None
Tell = Callable[[str, str, Severity, Mapping[str, Scalar]], None]
"""Event name, message, severity, data."""

log = logging.getLogger("edgewise.agent.updates")


class ModelUpdater:
    """`step` and `run` belong to one thread; everything else may be called from any."""

    def __init__(
        self,
        store: ModelStore,
        live: LiveModel,
        settings: UpdateSettings,
        *,
        source: "ModelSource",
        trial: Trial,
        tell: Tell,
        target: str = "",
        pipeline: str = "",
        restart: Callable[[str], None] | None = None,
        agent_stops: Callable[[], bool] = lambda: False,
    ) -> None:
        """``store`` is recovered, and what it says runs in ``live``. ``target`` is followed by polling.

        ``restart`` starts the agent again at once, whatever its threads do, for a model that hangs. ``agent_stops``
        may say so before `stop` does: what is broken off for it is no failure.
        """
        self._store = store
        self._live = live
        self._settings = settings
        self._source = source
        self._trial = trial
        self._tell_event = tell
        self._target = target
        self._pipeline = pipeline
        self._restart = restart
        self._agent_stops = agent_stops
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._failures = 0
        self._said = ""
        self._blamed = ""
        """The digest whose rejection was told last; that it is left alone then goes without saying."""
        self._watched_since: tuple[float, ModelHealth] | None = None
        for note in store.notes:
            self._tell("update.recovered", note, Severity.WARNING)

    def run(self) -> None:
        """Until `stop`; for a thread of its own."""
        while not self._stopping.is_set():
            wait_s = self._guarded_step()
            self._wake.wait(wait_s)
            self._wake.clear()

    def stop(self) -> None:
        """The agent stops in order: what is under way is broken off, and a watch is no fault of its model."""
        self._stopping.set()
        self._wake.set()
        with self._lock:
            try:
                self._store.pause_watch()
            except StoreError as error:
                log.error("%s", error)

    @property
    def live(self) -> LiveModel:
        """What it updates."""
        return self._live

    @property
    def is_watching(self) -> bool:
        """Whether the current model is on trial."""
        return self._store.state.watch is not None

    @property
    def is_stopping(self) -> bool:
        """For whoever must break off then."""
        return self._stopping.is_set()

    def want(self, target: str, *, sha256: str = "", again: bool = False, older: bool = False) -> str:
        """The fleet asks for this model; an empty target follows the settings again.

        Raises StoreError when that cannot be remembered, Refuse for what is no model file.
        """
        if target:
            try:
                slot_model(target=target, sha256=sha256.lower() or "0" * 64, version=0)
            except ValueError as error:
                raise Refuse(str(error)) from error
        with self._lock:
            self._store.want(target, sha256=sha256.lower(), again=again, older=older)
        self._failures = 0
        self._wake.set()
        if not target:
            return f"follows {self._target or 'nothing'} again"
        return f"{target} is fetched and tried; events tell how that goes"

    def roll_back(self, reason: str, *, only: str = "") -> str:
        """Run the model before again, and remember the current one as rejected. Raises Refuse, StoreError.

        ``only`` is the digest of the model that is to go: if another one runs, nothing is done, so that a command
        that meets the device's own rollback does not take back one model too many.
        """
        with self._lock:
            running = self._store.running()
            if only and running.sha256 != only:
                raise Refuse(f"another model runs, {running.sha256[:16]}: nothing is taken back")
            if self._store.state.current is Place.FACTORY:
                raise Refuse("the factory model runs; there is none before it")
            running = self._take_back(reason)
        return f"runs {running.path.name} ({running.reason})"

    def running(self) -> Running:
        """The current model and why."""
        with self._lock:
            return self._store.running()

    def step(self) -> float:
        """At most one transition; seconds until the next step is due. Raises UpdateError, StoreError."""
        state = self._store.state
        if state.watch is not None:
            return self._watch()
        self._watched_since = None
        if state.candidate is not None:
            return self._try()
        return self._look()

    def _guarded_step(self) -> float:
        try:
            return self.step()
        except (AgentError, edgewise.EdgewiseError) as error:
            return self._failed(str(error), is_serious=isinstance(error, RepositoryRefused))
        except Exception as error:  # the thread must outlive whatever comes
            log.error("unexpected error: %r", error, exc_info=log.isEnabledFor(logging.DEBUG))
            return self._failed(repr(error), is_serious=True)

    def _failed(self, text: str, *, is_serious: bool) -> float:
        """Told once, until it is another reason; the next attempt waits longer."""
        if text != self._said and not self._stopping.is_set() and not self._agent_stops():
            self._said = text
            self._tell("update.failed", text, Severity.WARNING if is_serious else Severity.INFO)
        self._failures += 1
        return min(RETRY_S * 2.0 ** min(self._failures - 1, 20), self._settings.poll_s) * random.uniform(
            0.9, 1.1
        )

    def _look(self) -> float:
        """Is there another model than the current one?"""
        wanted = self._store.state.wanted
        target = wanted.target if wanted and wanted.target else self._target
        if not target:
            return self._settings.poll_s
        found = self._source.find(target)
        offer = found.offer
        if wanted and wanted.sha256 and wanted.sha256 != offer.sha256:
            raise RepositoryRefused(
                f"{target}: the repository has {offer.sha256[:16]}, and {wanted.sha256[:16]} is wanted"
            )
        if offer.size_bytes > self._settings.max_model_mb * 1024 * 1024:
            raise RepositoryRefused(f"{target}: {offer.size_bytes} bytes, more than updates.max_model_mb")
        try:
            model = slot_model(target=target, sha256=offer.sha256, version=offer.version)
        except ValueError as error:
            raise RepositoryRefused(str(error)) from error
        refusal = self._store.refusal(model)
        self._failures = 0
        if refusal:
            self._say_refusal(model, refusal)
            return self._settings.poll_s * random.uniform(1.0, 1.1)
        fetched = self._source.download(found, base=self.running().path)
        with self._lock:
            if self._store.state.wanted == wanted:
                self._store.take_in(fetched, model)
                self._tell("update.fetched", f"version {model.version} of {target}", data=_data(model))
        self._said = ""
        return 0.0

    def _say_refusal(self, model: SlotModel, refusal: str) -> None:
        log.debug("%s: %s", model.target, refusal)
        text = f"version {model.version} of {model.target} is left alone: {refusal}"
        current = self._store.state.model(self._store.state.current)
        is_current = current is not None and current.sha256 == model.sha256
        if text != self._said and not is_current and model.sha256 != self._blamed:
            self._said = text
            self._tell("update.refused", text, Severity.WARNING, _data(model))

    def _try(self) -> float:
        """The candidate's next stage."""
        candidate = self._store.state.candidate
        assert candidate is not None
        if candidate.stage is Stage.FETCHED:
            self._verify(candidate.model)
        elif candidate.stage is Stage.VERIFIED:
            self._probe(candidate.model)
        elif candidate.stage is Stage.PROBED:
            self._shadow(candidate.model)
        else:
            self._switch(candidate.model)
        return 0.0

    def _verify(self, model: SlotModel) -> None:
        with self._lock:
            if not self._is_candidate(model):
                return
            try:
                got = file_sha256(self._store.candidate_path())
            except OSError:
                got = "no file"
            if got == model.sha256:
                self._store.advance(Stage.VERIFIED)
            else:
                self._store.drop()
                log.warning("%s changed on the disk; it is fetched again", model.target)

    def _probe(self, model: SlotModel) -> None:
        path = self._begin(model, "probe")
        if path is None:
            return
        trouble = self._trial.try_model(path)
        self._end(model, trouble, Stage.PROBED)

    def _shadow(self, model: SlotModel) -> None:
        if not self._settings.shadow_inputs:
            self._end(model, "", Stage.SHADOWED)
            return
        path = self._begin(model, SHADOW)
        if path is None:
            return
        try:
            report = self._live.shadow(
                path,
                inputs=self._settings.shadow_inputs,
                within_s=self._settings.shadow_s,
                should_stop=self._stopping.is_set,
            )
            trouble = judge_shadow(report, self._settings)
            log.info("shadow run of %s: %s", model.target, report)
        except (edgewise.EdgewiseError, AgentError) as error:
            trouble = str(error)
        self._end(model, trouble, Stage.SHADOWED)

    def _begin(self, model: SlotModel, what: str) -> Path | None:
        """Its file; None when another model is wanted by now."""
        with self._lock:
            if not self._is_candidate(model):
                return None
            self._store.begin_trying(what)
            return self._store.candidate_path()

    def _end(self, model: SlotModel, trouble: str, stage: Stage) -> None:
        """A stop or a new wish in the middle of a stage leaves the verdict to the next attempt."""
        with self._lock:
            if not self._is_candidate(model):
                return
            if self._stopping.is_set():
                self._store.put_off()
            elif trouble:
                self._store.reject(trouble)
                self._blamed = model.sha256
                self._tell("update.rejected", f"version {model.version} of {model.target}: {trouble}",
                           Severity.WARNING, _data(model))  # fmt: skip
            else:
                self._store.advance(stage)

    def _switch(self, model: SlotModel) -> None:
        with self._lock:
            if not self._is_candidate(model) or self._stopping.is_set():
                return
            running = self._store.switch(figures_of(self._live.health()))
            try:
                self._live.switch(running.path)
            except (edgewise.EdgewiseError, AgentError) as error:
                self._take_back(f"it could not be switched to: {error}", switch=False)
                return
            self._watched_since = None
            self._tell("update.switched", f"runs version {model.version} of {model.target}, and is watched",
                       data=_data(model))  # fmt: skip

    def _watch(self) -> float:
        with self._lock:
            state = self._store.state
            if state.watch is None or self._stopping.is_set():
                return 0.0
            health, now_s = self._live.health(), time.monotonic()
            if self._watched_since is None:
                self._watched_since = now_s, health
            since_s, since = self._watched_since
            trouble = judge_watch(since, health, state.watch, self._settings)
            if trouble:
                self._take_back(trouble)
                return 0.0
            if is_over(since, health, now_s - since_s, self._settings):
                model = state.model(state.current)
                self._store.confirm()
                if model is not None:
                    self._tell("update.confirmed", f"version {model.version} of {model.target} stays",
                               data=_data(model))  # fmt: skip
                return self._settings.poll_s
            return WATCH_TURN_S

    def _take_back(self, reason: str, *, switch: bool = True) -> Running:
        """Back to the model before; if that cannot be run either, on to the factory model."""
        self._watched_since = None
        model = self._store.state.model(self._store.state.current)
        running = self._store.roll_back(reason)
        name = f"version {model.version} of {model.target}" if model else "the model"
        data = _data(model) if model else {}
        self._blamed = model.sha256 if model else ""
        self._tell("update.rolled-back", f"{name} was taken back: {reason}", Severity.ERROR, data)
        if switch and self._restart is not None and self._live.health().busy_s > self._settings.stuck_s:
            self._restart(reason)  # the thread that is inside the model cannot be had back
            return running
        while switch:
            try:
                self._live.switch(running.path)
                break
            except (edgewise.EdgewiseError, AgentError) as error:
                if running.place is Place.FACTORY:
                    self._tell("update.failed", f"the factory model does not run: {error}", Severity.ERROR)
                    break
                running = self._store.roll_back(str(error))
        return running

    def _is_candidate(self, model: SlotModel) -> bool:
        candidate = self._store.state.candidate
        return candidate is not None and candidate.model == model

    def _tell(
        self,
        name: str,
        message: str,
        severity: Severity = Severity.INFO,
        data: Mapping[str, Scalar] | None = None,
    ) -> None:
        log.info("%s: %s", name, message)
        more: dict[str, Scalar] = {"pipeline": self._pipeline} if self._pipeline else {}
        self._tell_event(name, message[:1000], severity, {**more, **(data or {})})


def _data(model: SlotModel) -> dict[str, Scalar]:
    return {"target": model.target, "sha256": model.sha256, "version": model.version}
