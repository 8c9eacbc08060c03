"""Opens the current model at a start; one that cannot be opened gives way to the one before it."""

from collections.abc import Callable
from typing import TypeVar

import edgewise
from edgewise_agent.errors import AgentError
from edgewise_agent.updates.model_store import ModelStore, Running
from edgewise_agent.updates.store_state import Place

Opened = TypeVar("Opened")


def open_current(store: ModelStore, load: Callable[[Running], Opened]) -> tuple[Opened, Running]:
    """What ``load`` makes of the current model, after `ModelStore.recover`.

    Raises what ``load`` raises only when the factory model cannot be opened either.
    """
    running = store.running()
    while True:
        try:
            return load(running), running
        except (edgewise.EdgewiseError, AgentError, OSError) as error:
            if running.place is Place.FACTORY:
                raise
            running = store.roll_back(f"it cannot be opened: {error}")
