"""Protection of all pipelines of one device, from its settings."""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from edgewise_agent.pipelines.pipeline import MAIN, Pipeline
from edgewise_agent.protection.choosing import Chosen, choose, make_keeper
from edgewise_agent.protection.crash_note import CrashNote
from edgewise_agent.protection.hang_watch import GRACE_S, HangWatch, Watched
from edgewise_agent.protection.hanging import Blame, tell_and_restart, write_hang_down
from edgewise_agent.recorder import Recorder
from edgewise_agent.restart import restart_self
from edgewise_agent.settings.config import Settings
from edgewise_agent.state_folder import StateFolder
from edgewise_agent.updates.model_store import ModelStore
from edgewise_messages import Severity

if TYPE_CHECKING:
    from edgewise_agent.updates.model_updater import ModelUpdater

log = logging.getLogger("edgewise.agent.protection")


def choose_models(
    settings: Settings, stores: Mapping[str, ModelStore], state: StateFolder, stack: contextlib.ExitStack
) -> dict[str, Chosen]:
    """What each pipeline is to run; that the agent ends in order is written down with ``stack``."""
    note = CrashNote(state.path)
    stack.callback(note.close)
    found = {}
    for name, store in stores.items():
        keeper = make_keeper(
            state.models(name),
            state.path,
            name,
            signal=note.signal,
            enabled=settings.protection.failures > 0,
        )
        stack.callback(keeper.close)
        found[name] = choose(store, keeper, settings.protection)
    return found


@contextlib.contextmanager
def watching_start(settings: Settings, state: StateFolder, chosen: Mapping[str, Chosen]) -> Iterator[None]:
    """Models are opened, which a broken one may not come back from; there is nobody to tell yet."""

    def opening(name: str, one: Chosen) -> Watched:
        def on_hang(reason: str) -> None:
            factory = settings.pipelines[name].model
            write_hang_down(state.models(name), factory, one.keeper, reason, in_shadow=False)
            restart_self()

        return Watched(f"opening of {name}", lambda: one.keeper.marker.busy_s, lambda: hang_s, on_hang)

    hang_s = settings.protection.hang_s
    with HangWatch([opening(*one) for one in chosen.items()] if hang_s else []):
        yield


def tell_of_starts(
    recorder: Recorder,
    chosen: Mapping[str, Chosen],
    stores: Mapping[str, ModelStore],
    told: Mapping[str, object],
) -> None:
    """What the fleet has to hear of how the start went; the notes of the stores in ``told`` are told by others."""
    for name, one in chosen.items():
        data: dict[str, str | float] = {"failures": one.failures, "model": one.model.path.name}
        data |= {"pipeline": name} if name != MAIN else {}
        for note in stores[name].notes if name not in told else ():
            recorder.event("update.recovered", note, severity=Severity.WARNING, data=dict(data), durable=True)
        if one.is_stopped:
            log.error("%s: %s", name, one.why_stopped)
            recorder.event(
                "pipeline.stopped", one.why_stopped, severity=Severity.ERROR, data=dict(data), durable=True
            )
        elif one.failures:
            message = f"{one.failures:g} failures in a row: {one.reason}; it begins after {one.wait_s:g} s"
            log.warning("%s: %s", name, message)
            recorder.event("model.failed", message, severity=Severity.WARNING, data=dict(data), durable=True)


@contextlib.contextmanager
def protecting(
    settings: Settings,
    state: StateFolder,
    pipelines: Mapping[str, Pipeline],
    updaters: "Mapping[str, ModelUpdater]",
    chosen: Mapping[str, Chosen],
    recorder: Recorder,
    *,
    is_stopping: Callable[[], bool],
) -> Iterator[None]:
    """Watch for hangs, and end a row of failures after a good run, until left."""
    asked = settings.protection
    watched = []
    if asked.hang_s:
        on_hang = _answer_to(settings, state, chosen, recorder, is_stopping)
        for name, pipeline in pipelines.items():
            watched.append(_watched_pipeline(name, pipeline, asked.hang_s, on_hang))
        for name, updater in updaters.items():
            watched.append(_watched_candidate(name, updater, settings.updates.stuck_s, on_hang))

    def forget_failures() -> None:
        for one in chosen.values():
            one.keeper.forget()

    forget = threading.Timer(asked.good_run_s, forget_failures)
    forget.daemon = True
    if any(one.failures and not one.is_stopped for one in chosen.values()):
        forget.start()
    try:
        with HangWatch(watched, last_resort_s=asked.hang_s + GRACE_S if watched else 0.0):
            yield
    finally:
        forget.cancel()


def restarter(recorder: Recorder, chosen: Mapping[str, Chosen], name: str) -> Callable[[str], None]:
    """For an updater that has taken back a model that hangs."""

    def restart(reason: str) -> None:
        chosen[name].keeper.end()
        whose = "" if name == MAIN else name
        tell_and_restart(recorder, reason, Blame("the model before runs again"), pipeline=whose)

    return restart


_OnHang = Callable[[str, str, bool], None]


def _answer_to(
    settings: Settings,
    state: StateFolder,
    chosen: Mapping[str, Chosen],
    recorder: Recorder,
    is_stopping: Callable[[], bool],
) -> _OnHang:
    def on_hang(name: str, reason: str, in_shadow: bool) -> None:
        if is_stopping():
            return  # whoever stops it does not wait for the stuck thread
        factory = settings.pipelines[name].model
        keeper = chosen[name].keeper
        blame = write_hang_down(state.models(name), factory, keeper, reason, in_shadow=in_shadow)
        tell_and_restart(recorder, reason, blame, pipeline="" if name == MAIN else name)

    return on_hang


def _watched_pipeline(name: str, pipeline: Pipeline, hang_s: float, on_hang: _OnHang) -> Watched:
    return Watched(
        f"inference of {name}",
        lambda: pipeline.busy_s,
        lambda: hang_s,
        lambda reason: on_hang(name, reason, False),
    )


def _watched_candidate(name: str, updater: "ModelUpdater", stuck_s: float, on_hang: _OnHang) -> Watched:
    return Watched(
        f"inference of the candidate of {name}",
        lambda: updater.live.candidate_busy_s,
        lambda: stuck_s,
        lambda reason: on_hang(name, reason, True),
    )
