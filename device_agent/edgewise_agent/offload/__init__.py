"""Asking an edge server about inputs that the model here is not sure of."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from edgewise_agent.offload.settings import OffloadServerSettings, OffloadSettings, offload_problems

if TYPE_CHECKING:
    from edgewise_agent.offload.offloader import Offloader, OffloadOutcome

__all__ = ["OffloadOutcome", "OffloadServerSettings", "OffloadSettings", "Offloader", "offload_problems"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.offloader"), name)
