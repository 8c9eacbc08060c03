"""Random graphs are converted and equal, or refused with a reason; benchmarks/fuzz.py runs more of them."""

import tempfile
from pathlib import Path

import onnx
import pytest
from converters.fuzz.choices import Drawn as DrawnChoices
from converters.fuzz.graphs import Drawn, draw_model
from converters.fuzz.judge import Verdict, judge, save_samples, truth_of
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

SETTINGS = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
PRECISIONS = ("fp16", "dynamic", "int8")


@st.composite
def models(draw: st.DrawFn) -> Drawn:
    """A valid model that onnxruntime runs, with inputs for it."""
    drawn = draw_model(DrawnChoices(draw))
    assume(drawn is not None)
    assert drawn is not None
    return drawn


def verdict_on(drawn: Drawn, precision: str, target: str) -> Verdict:
    """Convert in an empty folder and judge."""
    truth = truth_of(drawn.model, drawn.feeds)
    assume(truth is not None)
    assert truth is not None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(drawn.model, path)
        samples = save_samples(path.parent, truth.feeds) if precision == "int8" else None
        return judge(path, truth, precision=precision, target=target, samples=samples)


@settings(SETTINGS, max_examples=100)
@given(models())
def test_random_graph_is_equal_or_refused(drawn: Drawn) -> None:
    verdict = verdict_on(drawn, "fp32", "rpi4")
    assert verdict.word in ("equal", "refused"), verdict.reason


@settings(SETTINGS, max_examples=20)
@given(models())
def test_random_graph_is_equal_in_the_old_runtime(drawn: Drawn) -> None:
    verdict = verdict_on(drawn, "fp32", "armv7")
    assert not verdict.is_wrong, verdict.reason


@pytest.mark.parametrize("precision", PRECISIONS)
@settings(SETTINGS, max_examples=12)
@given(models())
def test_random_graph_at_another_precision_is_near_or_refused(precision: str, drawn: Drawn) -> None:
    verdict = verdict_on(drawn, precision, "rpi4")
    assert not verdict.is_wrong, verdict.reason
