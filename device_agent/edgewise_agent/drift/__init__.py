"""Drift of what a model meets and answers from the baseline in its card. Knows no MQTT and no files."""

from edgewise_agent.drift.monitor import Change, DriftMonitor, Moved
from edgewise_agent.drift.observation import Observation, Observer
from edgewise_agent.drift.reference import Reference, reference_of
from edgewise_agent.drift.wording import message_of

__all__ = [
    "Change",
    "DriftMonitor",
    "Moved",
    "Observation",
    "Observer",
    "Reference",
    "message_of",
    "reference_of",
]
