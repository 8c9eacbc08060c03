"""What is done about a hang: written down where the next start finds it, told, and the process replaced."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from edgewise_agent.errors import StoreError
from edgewise_agent.protection.run_record import RunKeeper
from edgewise_agent.recorder import Recorder
from edgewise_agent.restart import restart_self
from edgewise_agent.updates.model_store import SHADOW, ModelStore
from edgewise_messages import Severity

TELL_S = 5.0
"""The outbox has so long to take the event; nothing depends on it."""

log = logging.getLogger("edgewise.agent.protection")
_restarting = threading.Lock()


def write_hang_down(folder: Path, factory: Path, keeper: RunKeeper, reason: str, *, in_shadow: bool) -> str:
    """Blame the model that hangs; what that means in words. Needs no lock that a stuck thread may hold.

    The disk is the truth: the stuck process's own store may belong to a thread that waits for the stuck one.
    """
    store = ModelStore(folder, factory)
    try:
        store.read()
        if in_shadow:
            keeper.end()
            return _reject(store, reason)
        if store.state.watch is not None:
            keeper.end()
            store.roll_back(reason)
            return "the model before runs again"
        if store.running().sha256 and store.running().sha256 != keeper.record.model:
            keeper.end()  # it was taken back meanwhile
            return "another model is the current one already"
    except StoreError as error:
        log.error("%s", error)  # the next start finds a run that did not end in order
        return "it could not be written down"
    keeper.fail(reason)
    return f"{keeper.failures(keeper.record.model).count:g} failures in a row"


def _reject(store: ModelStore, reason: str) -> str:
    candidate = store.state.candidate
    if candidate is None or candidate.trying != SHADOW:
        return "it is no candidate any more"
    store.reject(reason)
    return "it is rejected"


def tell_and_restart(
    recorder: Recorder,
    name: str,
    message: str,
    *,
    pipeline: str,
    restart: Callable[[], object] = restart_self,
) -> None:
    """Record the event, as long as that takes no time, and become a new process. From any thread."""
    if not _restarting.acquire(blocking=False):
        return  # another thread does
    data = {"pipeline": pipeline} if pipeline else {}

    def tell() -> None:
        recorder.event(name, message, severity=Severity.ERROR, data=dict(data), durable=True)

    telling = threading.Thread(target=tell, name="telling", daemon=True)
    telling.start()
    telling.join(TELL_S)
    try:
        restart()
    finally:
        _restarting.release()
