"""What the agent holds while it runs: opened in order, and closed by the stack it is opened with."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgewise.version import VERSION
from edgewise_agent.keeping import Keeping, open_keeping
from edgewise_agent.logs.file import log_to_file
from edgewise_agent.outbox.outbox import Outbox
from edgewise_agent.outbox.setup import open_outbox
from edgewise_agent.pipelines.assembly import open_models
from edgewise_agent.pipelines.model_slot import ModelSlot
from edgewise_agent.protection.choosing import Chosen
from edgewise_agent.protection.wiring import choose_models, watching_start
from edgewise_agent.service.unattended import Unattended
from edgewise_agent.settings.change import SettingsChange
from edgewise_agent.settings.config import Settings
from edgewise_agent.state_folder import StateFolder
from edgewise_agent.updates.assembly import recovered_stores
from edgewise_agent.updates.model_store import ModelStore
from edgewise_agent.vitals.power import PowerWatch
from edgewise_agent.vitals.power_choice import make_power_watch

if TYPE_CHECKING:
    from edgewise_agent.offload import Offloader


@dataclass(frozen=True)
class Resources:
    """Files, models and threads."""

    settings: Settings
    change: SettingsChange | None
    """For commands to change the settings file."""
    state: StateFolder
    unattended: Unattended
    power: PowerWatch
    stores: Mapping[str, ModelStore]
    """Of models, by pipeline."""
    chosen: Mapping[str, Chosen]
    """What each pipeline runs, or that it is stopped."""
    slots: Mapping[str, ModelSlot]
    """The open models, by pipeline; a stopped one has none."""
    outbox: Outbox
    keeping: Keeping
    offloader: "Offloader | None"


def open_resources(
    settings: Settings, change: SettingsChange | None, stack: contextlib.ExitStack
) -> Resources:
    """All of it, closed with ``stack``. Raises AgentError or edgewise.EdgewiseError."""
    state = stack.enter_context(StateFolder(settings.device.state_dir))
    log_file = log_to_file(state.path, settings.logs)
    if log_file is not None:
        stack.callback(log_file.close)
    unattended = stack.enter_context(
        Unattended(
            group=settings.device.group,
            device=settings.device.id,
            status=settings.status,
            version=VERSION,
        )
    )
    power = make_power_watch(settings.power)
    power.start()
    stack.callback(power.close)
    stores = recovered_stores(settings)
    chosen = choose_models(settings, stores, state, stack)
    with watching_start(settings, state, chosen):
        slots = open_models(settings, stores, stack, chosen)
    outbox = open_outbox(state.outbox, settings.outbox)
    stack.callback(outbox.close)
    keeping = open_keeping(state.path, privacy=settings.privacy, snapshots=settings.snapshots)
    stack.callback(keeping.close)
    offloader = _start_offload(settings, keeping, stack)
    return Resources(
        settings, change, state, unattended, power, stores, chosen, slots, outbox, keeping, offloader
    )


def _start_offload(settings: Settings, keeping: Keeping, stack: contextlib.ExitStack) -> "Offloader | None":
    if not settings.offload.enabled:
        return None
    from edgewise_agent.offload import Offloader  # loads a library that no other agent needs

    offloader = Offloader(settings.offload, keeping.gate)
    stack.callback(offloader.close)
    offloader.start()
    return offloader
