"""Stores and update threads of all pipelines of one device."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edgewise_agent.pipelines.pipeline import MAIN, Pipeline
from edgewise_agent.protection.wiring import restarter
from edgewise_agent.recorder import Recorder
from edgewise_agent.settings.config import Settings
from edgewise_agent.updates.model_store import ModelStore
from edgewise_messages import Severity

if TYPE_CHECKING:
    from edgewise_agent.protection.choosing import Chosen
    from edgewise_agent.updates.live_model import LiveModel
    from edgewise_agent.updates.model_updater import ModelUpdater, Scalar

PATIENCE_S = 5.0
"""What a stop waits for the step at hand; a child that tries a model dies with us."""


def recovered_stores(settings: Settings) -> dict[str, ModelStore]:
    """By pipeline, each knowing what to run."""
    stores = {}
    for name, pipeline in settings.pipelines.items():
        stores[name] = ModelStore(settings.device.state_dir / "models" / name, pipeline.model)
        stores[name].recover()
    return stores


@contextlib.contextmanager
def updating(
    updaters: "Mapping[str, ModelUpdater]", stores: Mapping[str, ModelStore], left_behind: list[str]
) -> Iterator[None]:
    """Each on a thread of its own, until left; leaving in order is no fault of a model that is watched.

    What does not come back then is added to ``left_behind``.
    """
    threads = [
        threading.Thread(target=updater.run, name=f"updates {name}", daemon=True)
        for name, updater in updaters.items()
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for updater in updaters.values():
            updater.stop()
        for thread in threads:
            thread.join(PATIENCE_S)
        left_behind += [thread.name for thread in threads if thread.is_alive()]
        for name in stores.keys() - updaters.keys():
            stores[name].pause_watch()


def make_updaters(
    settings: Settings,
    pipelines: Mapping[str, Pipeline],
    stores: Mapping[str, ModelStore],
    recorder: Recorder,
    *,
    chosen: "Mapping[str, Chosen]",
    is_stopping: Callable[[], bool],
    restart: Callable[[str], None],
) -> "dict[str, ModelUpdater]":
    """By pipeline, also of those that are stopped; none without updates.repository.

    ``restart`` stops the agent in order and starts it again.
    """
    if not settings.updates.repository:
        return {}
    made = {}
    for name, store in stores.items():
        live = _make_live(settings, name, pipelines.get(name), store, chosen[name], restart)
        made[name] = _make_updater(
            settings, name, live, store, recorder, is_stopping, restarter(recorder, chosen, name)
        )
    return made


def _make_live(
    settings: Settings,
    name: str,
    pipeline: Pipeline | None,
    store: ModelStore,
    chosen: "Chosen",
    restart: Callable[[str], None],
) -> "LiveModel":
    if pipeline is None:
        from edgewise_agent.updates.stopped_live import StoppedLive

        return StoppedLive(restart)
    from edgewise_agent.updates.live_pipeline import LivePipeline

    return LivePipeline(
        pipeline, settings.pipelines[name], settings.updates, on_switch=lambda: chosen.runs(store.running())
    )


def _make_updater(
    settings: Settings,
    name: str,
    live: "LiveModel",
    store: ModelStore,
    recorder: Recorder,
    is_stopping: Callable[[], bool],
    restart: Callable[[str], None],
) -> "ModelUpdater":
    # With python-tuf: memory for those who update only.
    from edgewise_agent.updates.model_updater import ModelUpdater
    from edgewise_agent.updates.places import Places
    from edgewise_agent.updates.transport import Transport
    from edgewise_agent.updates.trial import ChildTrial

    updates = settings.updates

    def tell(event: str, message: str, severity: Severity, data: "Mapping[str, Scalar]") -> None:
        recorder.event(event, message, severity=severity, data=dict(data), durable=True)

    folder: Path = settings.device.state_dir / "updates" / name
    transport = Transport(ca_file=updates.ca_file, should_stop=is_stopping)
    return ModelUpdater(
        store,
        live,
        updates,
        source=Places(updates, folder=folder, transport=transport),
        trial=ChildTrial(updates),
        tell=tell,
        target=_filled_in(updates.target, settings, name),
        pipeline="" if name == MAIN else name,
        restart=restart,
        agent_stops=is_stopping,
    )


def _filled_in(target: str, settings: Settings, pipeline: str) -> str:
    values = {"group": settings.device.group, "device": settings.device.id, "pipeline": pipeline}
    for word, value in values.items():
        target = target.replace(f"{{{word}}}", str(value))
    return target
