"""Vital signs: of the board, the network, the card, the agent's process and the power."""

from edgewise_agent.vitals.vitals import Vitals

__all__ = ["Vitals"]
