"""Asking an edge server about inputs that the model here is not sure of."""

from edgewise_agent.offload.offloader import Offloader, OffloadOutcome
from edgewise_agent.offload.settings import OffloadServerSettings, OffloadSettings, offload_problems

__all__ = ["OffloadOutcome", "OffloadServerSettings", "OffloadSettings", "Offloader", "offload_problems"]
