import numpy as np
import pytest

from edgewise_agent.model_metrics import SAMPLES, ModelMetrics, Sample
from edgewise_messages.metrics import BY_NAME

SECOND_NS = 1_000_000_000


def test_one_interval_is_summed_up() -> None:
    metrics = ModelMetrics(now_ns=0)
    for latency in range(1, 21):
        metrics.inference(latency_ms=float(latency), invoke_ms=latency / 2, confidence=0.5)
    metrics.error()
    assert metrics.take(now_ns=10 * SECOND_NS) == {
        "model.inferences": 20,
        "model.errors": 1,
        "model.throughput_per_s": 2.0,
        "model.latency_p50_ms": 10.0,
        "model.latency_p95_ms": 19.0,
        "model.latency_p99_ms": 20.0,
        "model.invoke_p50_ms": 5.0,
        "model.invoke_p95_ms": 9.5,
        "model.confidence_mean": 0.5,
    }


def test_counters_go_on_and_distributions_begin_anew() -> None:
    metrics = ModelMetrics(now_ns=0)
    metrics.inference(latency_ms=100.0, invoke_ms=None, confidence=None)
    metrics.take(now_ns=SECOND_NS)
    metrics.inference(latency_ms=1.0, invoke_ms=None, confidence=0.25)
    second = metrics.take(now_ns=3 * SECOND_NS)
    assert second["model.inferences"] == 2
    assert second["model.throughput_per_s"] == 0.5
    assert second["model.latency_p95_ms"] == 1.0
    assert second["model.confidence_mean"] == 0.25


def test_what_was_not_measured_is_left_out() -> None:
    assert ModelMetrics(now_ns=0).take(now_ns=SECOND_NS) == {
        "model.inferences": 0, "model.errors": 0, "model.throughput_per_s": 0.0,
    }  # fmt: skip
    assert "model.throughput_per_s" not in ModelMetrics(now_ns=0).take(now_ns=1000)


def test_every_metric_has_a_standard_name() -> None:
    metrics = ModelMetrics(now_ns=0)
    metrics.inference(latency_ms=1, invoke_ms=1, confidence=1, read_ms=1, decode_ms=1, pixels=4)
    metrics.dropped(2)
    readings = metrics.take(now_ns=SECOND_NS)
    assert readings["model.dropped_inputs"] == 2
    assert set(readings) == {name for name in BY_NAME if name.startswith("model.")}


@pytest.mark.parametrize("share", [0.01, 0.5, 0.95, 1.0])
@pytest.mark.parametrize("count", [1, 2, 3, 20, 101])
def test_percentiles_are_those_of_numpy(share: float, count: int) -> None:
    values = np.random.default_rng(count).normal(size=count).tolist()
    sample = Sample()
    for value in values:
        sample.add(value)
    assert sample.percentile(share) == np.quantile(values, share, method="inverted_cdf")


def test_a_long_interval_costs_bounded_memory_and_keeps_the_percentiles() -> None:
    sample = Sample()
    for value in range(20 * SAMPLES):
        sample.add(float(value))
    assert len(sample._values) == SAMPLES
    median = sample.percentile(0.5)
    assert median is not None
    # A median of n samples spreads by about 1 / (2 sqrt(n)) of the range; five times that is a bug.
    assert abs(median / (20 * SAMPLES) - 0.5) < 5 / (2 * SAMPLES**0.5)
