import numpy as np
import pytest

from edgewise.tasks.timings import Timings
from edgewise_agent.pipelines.model_metrics import RELATIVE_ERROR, ModelMetrics
from edgewise_messages.metrics import BY_NAME

SECOND_NS = 1_000_000_000


def test_one_interval_is_summed_up() -> None:
    metrics = ModelMetrics(now_ns=0)
    for latency in range(1, 101):
        metrics.inference(latency_ms=float(latency), timings=Timings(1.0, latency / 2, 0.25), confidence=0.5)
    metrics.error()
    metrics.dropped(3)
    for pixels in (100, 300):
        metrics.picture(pixels)
    found = metrics.take(now_ns=10 * SECOND_NS)
    exact = {
        "model.inferences": 100,
        "model.errors": 1,
        "model.dropped_inputs": 3,
        "model.throughput_per_s": 10.0,
        "model.input_pixels": 200.0,
        "model.confidence_mean": 0.5,
    }
    sketched = {
        "model.latency_p50_ms": 50.0,
        "model.latency_p95_ms": 95.0,
        "model.latency_p99_ms": 99.0,
        "model.preprocess_p50_ms": 1.0,
        "model.preprocess_p95_ms": 1.0,
        "model.invoke_p50_ms": 25.0,
        "model.invoke_p95_ms": 47.5,
        "model.postprocess_p95_ms": 0.25,
    }
    assert {name: found[name] for name in exact} == exact
    assert {name: found[name] for name in sketched} == pytest.approx(sketched, rel=RELATIVE_ERROR + 5e-4)
    assert set(found) == {*exact, *sketched} == {name for name in BY_NAME if name.startswith("model.")}


def test_counters_go_on_and_distributions_begin_anew() -> None:
    metrics = ModelMetrics(now_ns=0)
    metrics.inference(latency_ms=100.0, timings=None, confidence=None)
    metrics.take(now_ns=SECOND_NS)
    metrics.inference(latency_ms=1.0, timings=None, confidence=0.25)
    second = metrics.take(now_ns=3 * SECOND_NS)
    assert second["model.inferences"] == 2
    assert second["model.throughput_per_s"] == 0.5
    assert second["model.latency_p95_ms"] == pytest.approx(1.0, rel=RELATIVE_ERROR + 5e-4)
    assert second["model.confidence_mean"] == 0.25


def test_what_was_not_measured_is_left_out() -> None:
    assert ModelMetrics(now_ns=0).take(now_ns=SECOND_NS) == {
        "model.inferences": 0, "model.errors": 0, "model.throughput_per_s": 0.0,
    }  # fmt: skip
    assert "model.throughput_per_s" not in ModelMetrics(now_ns=0).take(now_ns=1000)


@pytest.mark.parametrize("count", [1, 2, 3, 20, 30_000])
def test_percentiles_are_those_of_numpy_within_the_sketchs_law(count: int) -> None:
    """Lower quantile of the sorted values, as the sketch defines it, to 1 % and the four digits that are told."""
    values = np.random.default_rng(count).lognormal(2.0, 1.5, size=count)
    metrics = ModelMetrics(now_ns=0)
    for value in values:
        metrics.inference(latency_ms=float(value), timings=None, confidence=None)
    found = metrics.take(now_ns=SECOND_NS)
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        exact = np.quantile(values, share, method="lower")
        assert found[f"model.latency_{name}_ms"] == pytest.approx(exact, rel=RELATIVE_ERROR + 5e-4)


def test_a_long_interval_costs_bounded_memory() -> None:
    """Bins, and not values: twelve orders of magnitude in steps of 2 % are some 1,400."""
    metrics = ModelMetrics(now_ns=0)
    for value in np.geomspace(1e-6, 1e6, 50_000):
        metrics.inference(latency_ms=float(value), timings=None, confidence=None)
    assert len(metrics._interval.latency_ms._store.bins) < 3000
