"""Is the new model doing well on this device? Pure functions of what was seen; an empty text is a yes."""

from edgewise_fleet.rollouts.observation import FEW_INPUTS, Observation
from edgewise_fleet.rollouts.state import DevicePhase, DeviceProgress, Gates

NOISE_MS = 1.0
CLOCK_SLACK_MS = 60_000
"""Events bear the device's time, which may be behind ours; before it was told it had no opinion of this model."""
STRIKES = 2
"""Reports in a row: one slow report may be another program's doing."""


def own_verdict(progress: DeviceProgress, seen: Observation, sha256: str) -> tuple[str, str]:
    """What the device itself says of this model since it was told: ("confirmed" | "failed" | "", the reason)."""
    for told in seen.events:
        slack_ms = CLOCK_SLACK_MS if told.sha256 else 0
        if told.at_ms < progress.told_ms - slack_ms or told.sha256 not in (sha256, ""):
            continue
        if told.name in ("update.rejected", "update.rolled-back", "update.refused") and told.sha256:
            return "failed", f"{told.name}: {told.message}"
        if told.name == "update.recovered":
            return "failed", f"{told.name}: {told.message}"
        if told.name == "update.confirmed" and told.sha256:
            return "confirmed", told.message
    return "", ""


def against(progress: DeviceProgress, seen: Observation, gates: Gates, now_ms: int) -> str:
    """What stands against a device that runs the new model, or was told to; all but what needs strikes."""
    if progress.phase is DevicePhase.TOLD:
        return _silent(progress, seen, gates, now_ms) or _late(progress, seen, gates, now_ms)
    errors = _since(seen.errors, progress.counted_errors)
    inputs = _since(seen.inferences, progress.counted_inputs) + errors
    if inputs >= FEW_INPUTS and errors / inputs > progress.before.error_rate + gates.max_error_rate:
        return f"{errors:.0f} of {inputs:.0f} inputs failed, {progress.before.error_rate:.1%} before"
    if seen.drift_moved > progress.before.drift_moved + gates.max_drift_moved:
        return f"{seen.drift_moved:.0f} statistics drifted, {progress.before.drift_moved:.0f} before"
    return _silent(progress, seen, gates, now_ms)


def over_limit(progress: DeviceProgress, seen: Observation, gates: Gates) -> str:
    """What counts only when it is so for `STRIKES` reports in a row."""
    p95, before = seen.p95_ms, progress.before.p95_ms
    if p95 is not None and before is not None and p95 > max(before * gates.max_slowdown, before + NOISE_MS):
        return f"p95 is {p95:.1f} ms against {before:.1f} ms, allowed are {gates.max_slowdown:g} times that"
    if p95 is not None and gates.max_p95_ms is not None and p95 > gates.max_p95_ms:
        return f"p95 is {p95:.1f} ms, promised are {gates.max_p95_ms:g} ms"
    if gates.throttling and seen.is_throttled and not progress.before.is_throttled:
        return "the board throttles, and did not before"
    return ""


def _since(now: float, then: float) -> float:
    """A counter begins at 0 again when the agent does."""
    return now - then if now >= then else now


def _silent(progress: DeviceProgress, seen: Observation, gates: Gates, now_ms: int) -> str:
    since_ms = max(seen.last_seen_ms, progress.told_ms)
    silent_s = (now_ms - since_ms) / 1000
    allowed_s = max(gates.silence_s, seen.expected_silence_s)
    return f"not heard for {silent_s:.0f} s after the update" if silent_s > allowed_s else ""


def _late(progress: DeviceProgress, seen: Observation, gates: Gates, now_ms: int) -> str:
    passed_s = (now_ms - progress.told_ms) / 1000
    if passed_s <= gates.update_s:
        return ""
    answered = "it took the command, but" if progress.answered else "it never answered, and"
    return f"{answered} does not run the model after {passed_s:.0f} s"
