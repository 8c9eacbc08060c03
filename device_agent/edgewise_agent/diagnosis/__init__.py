"""Why latency rose: what changed on the device at the same time, in a sentence, or that nothing did."""

from edgewise_agent.diagnosis.latency_watch import LatencyWatch

__all__ = ["LatencyWatch"]
