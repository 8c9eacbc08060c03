"""Is the new model good enough? Pure functions of what was seen and of the limits; an empty text is a yes."""

from edgewise_agent.updates.live_model import ModelHealth, ShadowReport
from edgewise_agent.updates.settings import UpdateSettings
from edgewise_agent.updates.store_state import Watch

FEW = 10
"""Medians and rates of fewer inputs say nothing."""
FEW_FOR_P95 = 50
"""And p95 of fewer is one or two inputs' bad luck."""


NOISE_MS = 1.0
"""A difference below it is the scheduler's: of models that take less than a millisecond p95 doubles by chance."""


def judge_shadow(report: ShadowReport, settings: UpdateSettings) -> str:
    """What stands against a candidate that ran beside the current model."""
    if report.inputs == 0:
        return ""
    if report.errors > settings.max_error_rate * report.inputs:
        return f"it failed at {report.errors} of {report.inputs} live inputs"
    if report.agreed < settings.min_agreement * report.inputs:
        return (
            f"it answered {report.agreed} of {report.inputs} live inputs as the current model does, "
            f"expected at least {settings.min_agreement:.0%} (updates.min_agreement)"
        )
    for group in report.groups:
        if group.inputs >= FEW and group.agreed < settings.min_class_agreement * group.inputs:
            return (
                f"of {group.inputs} live inputs that the current model calls {group.name!r} it answered {group.agreed} "
                f"alike, expected at least {settings.min_class_agreement:.0%} (updates.min_class_agreement)"
            )
    if report.inputs < FEW:
        return ""
    return _slow("median", report.median_ms, report.current_median_ms, settings)


def judge_watch(since: ModelHealth, now: ModelHealth, watch: Watch, settings: UpdateSettings) -> str:
    """What stands against a model that is being watched, ``since`` its watch began."""
    if now.busy_s > settings.stuck_s:
        return f"it has been at one input for {now.busy_s:.0f} s"
    errors = max(now.errors - since.errors, 0)
    inputs = max(now.inferences - since.inferences, 0) + errors
    if inputs >= FEW and errors / inputs > watch.error_rate + settings.max_error_rate:
        return f"{errors} of {inputs} inputs failed, {watch.error_rate:.1%} with the model before"
    if now.drift_moved > watch.drift_moved + settings.max_drift_moved:
        return f"{now.drift_moved} statistics drifted from its baseline, {watch.drift_moved} with the model before"
    if inputs < FEW_FOR_P95:
        return ""
    promised = _slow("p95", now.p95_ms, now.promise_ms, settings, against="its card's promise for this board")
    return promised or _slow("p95", now.p95_ms, watch.p95_ms, settings)


def is_over(since: ModelHealth, now: ModelHealth, passed_s: float, settings: UpdateSettings) -> bool:
    """Whether the watch was long enough, in time and in inputs."""
    inputs = now.inferences + now.errors - since.inferences - since.errors
    return passed_s >= settings.watch_s and inputs >= settings.watch_inputs


def figures_of(health: ModelHealth) -> Watch:
    """What the next model is held against."""
    inputs = health.inferences + health.errors
    rate = health.errors / inputs if inputs >= FEW else 0.0
    return Watch(error_rate=rate, p95_ms=health.p95_ms, drift_moved=health.drift_moved)


def _slow(
    what: str,
    latency_ms: float | None,
    before_ms: float | None,
    settings: UpdateSettings,
    *,
    against: str = "",
) -> str:
    """``against`` names what ``before_ms`` is, where it is not the model before."""
    if latency_ms is None or before_ms is None:
        return ""
    if latency_ms <= max(before_ms * settings.max_slowdown, before_ms + NOISE_MS):
        return ""
    whose = f", {against}" if against else ""
    return (
        f"its {what} latency is {latency_ms:.1f} ms against {before_ms:.1f} ms{whose}, "
        f"expected at most {settings.max_slowdown:g} times that (updates.max_slowdown)"
    )
