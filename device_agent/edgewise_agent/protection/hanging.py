"""What is done about a hang: written down where the next start finds it, told, and the process replaced."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgewise_agent.errors import StoreError
from edgewise_agent.protection.run_record import RunKeeper
from edgewise_agent.recorder import Recorder, Scalar
from edgewise_agent.restart import restart_self
from edgewise_agent.updates.model_store import SHADOW, ModelStore
from edgewise_agent.updates.store_state import SlotModel
from edgewise_messages import Severity

TELL_S = 5.0
"""The outbox has so long to take the event; nothing depends on it."""

log = logging.getLogger("edgewise.agent.protection")
_restarting = threading.Lock()


@dataclass(frozen=True)
class Blame:
    """What a hang means for the model that hangs."""

    words: str
    event: str = ""
    """What an updater would tell of it, where it was on trial."""
    model: SlotModel | None = None


def write_hang_down(folder: Path, factory: Path, keeper: RunKeeper, reason: str, *, in_shadow: bool) -> Blame:
    """Blame the model that hangs. Needs no lock that a stuck thread may hold.

    The disk is the truth: the stuck process's own store may belong to a thread that waits for the stuck one.
    """
    store = ModelStore(folder, factory)
    try:
        store.read()
        state = store.state
        current = state.model(state.current)
        if in_shadow:
            keeper.end()
            return _reject(store, reason)
        if state.watch is not None:
            keeper.end()
            store.roll_back(reason)
            return Blame("the model before runs again", "update.rolled-back", current)
        if current is not None and current.sha256 != keeper.record.model:
            keeper.end()  # it was taken back meanwhile
            return Blame("another model is the current one already")
    except StoreError as error:
        log.error("%s", error)  # the next start finds a run that did not end in order
        return Blame("it could not be written down")
    keeper.fail(reason)
    return Blame(f"{keeper.failures(keeper.record.model).count:g} failures in a row")


def _reject(store: ModelStore, reason: str) -> Blame:
    candidate = store.state.candidate
    if candidate is None or candidate.trying != SHADOW:
        return Blame("it is no candidate any more")
    store.reject(reason)
    return Blame("it is rejected", "update.rejected", candidate.model)


def tell_and_restart(
    recorder: Recorder,
    reason: str,
    blame: Blame,
    *,
    pipeline: str,
    restart: Callable[[], object] = restart_self,
) -> None:
    """Record the events, as long as that takes no time, and become a new process. From any thread."""
    if not _restarting.acquire(blocking=False):
        return  # another thread does
    whose: dict[str, Scalar] = {"pipeline": pipeline} if pipeline else {}

    def tell() -> None:
        model = blame.model
        if model is not None:
            data: dict[str, Scalar] = {**whose, "target": model.target, "sha256": model.sha256}
            data["version"] = model.version
            recorder.event(blame.event, reason, severity=Severity.ERROR, data=data)
        message = f"{reason}: {blame.words}; the agent starts anew"
        recorder.event("model.hung", message, severity=Severity.ERROR, data=dict(whose), durable=True)

    telling = threading.Thread(target=tell, name="telling", daemon=True)
    telling.start()
    telling.join(TELL_S)
    try:
        restart()
    finally:
        _restarting.release()
