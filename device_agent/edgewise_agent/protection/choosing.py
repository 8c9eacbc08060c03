"""Which model a pipeline runs after what happened before: the current one, the one before it, or none."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from edgewise_agent.protection.marker import Marker, marker_path
from edgewise_agent.protection.run_record import RunKeeper
from edgewise_agent.protection.settings import ProtectionSettings
from edgewise_agent.updates.model_store import ModelStore, Running, boot_id
from edgewise_agent.updates.store_state import Place

FIRST_WAIT_S, LONGEST_WAIT_S = 5.0, 300.0
"""A model that failed begins later, twice as late each time."""
_DOUBLINGS = 10
"""More than there are between the two."""

log = logging.getLogger("edgewise.agent.protection")


@dataclass(frozen=True)
class Chosen:
    """For one pipeline."""

    keeper: RunKeeper
    model: Running
    failures: float = 0.0
    """Of this model in a row, so far."""
    reason: str = ""
    """Of the last failure."""
    is_stopped: bool = False
    """Nothing is left to run."""

    def runs(self, model: Running) -> None:
        """Another one than was chosen: that one cannot be opened, or an update was switched to."""
        self.keeper.begin(identity_of(model))

    @property
    def wait_s(self) -> float:
        """Before its first input."""
        doublings = min(self.failures, _DOUBLINGS) - 1
        return min(FIRST_WAIT_S * 2.0**doublings, LONGEST_WAIT_S) if self.failures else 0.0

    @property
    def why_stopped(self) -> str:
        """In words, for people."""
        return (
            f"{self.model.path.name} failed {self.failures:g} times in a row ({self.reason}) "
            "and there is no model before it; the pipeline is stopped until another model comes"
        )


def make_keeper(
    folder: Path, state_dir: Path, pipeline: str, *, signal: str, enabled: bool = True
) -> RunKeeper:
    """Of one pipeline, whose store is in ``folder``; ``signal`` as `RunKeeper` takes it."""
    marker = Marker(marker_path(state_dir, pipeline, os.environ))
    return RunKeeper(folder, marker, boot=boot_id(), signal=signal, enabled=enabled)


def choose(store: ModelStore, keeper: RunKeeper, settings: ProtectionSettings) -> Chosen:
    """Call it once, after `ModelStore.recover`; writes down that the model is opened next.

    Kills alone, of which nobody can say why, never stop the last model: something else may eat the memory.
    """
    keeper.judge(excused=store.blamed)
    model = store.running()
    while True:
        known = keeper.failures(identity_of(model))
        is_last = model.place is Place.FACTORY
        if not settings.failures or known.count < settings.failures or (is_last and not known.is_known):
            keeper.begin(identity_of(model))
            return Chosen(keeper, model, known.count, known.reason)
        if is_last:
            keeper.stopped()
            return Chosen(keeper, model, known.count, known.reason, is_stopped=True)
        model = store.give_up(f"it failed {known.count:g} times in a row: {known.reason}")


def identity_of(model: Running) -> str:
    """A slot's digest; of the file that the settings name its size and time, which another file hardly shares."""
    if model.sha256:
        return model.sha256
    try:
        status = model.path.stat()
    except OSError:
        return str(model.path)
    return f"{model.path}:{status.st_size}:{status.st_mtime_ns}"
