import pytest

from edgewise_agent.updates.judging import figures_of, is_over, judge_shadow, judge_watch
from edgewise_agent.updates.live_model import GroupAgreement, ModelHealth, ShadowReport
from edgewise_agent.updates.settings import UpdateSettings
from edgewise_agent.updates.store_state import Watch

SETTINGS = UpdateSettings()
BEGIN = ModelHealth(100, 0)


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (ShadowReport(0, 0), ""),
        (ShadowReport(50, 40, 2, 14.9, 10.0), ""),
        (ShadowReport(50, 39), "it answered 39 of 50 live inputs as the current model does"),
        (ShadowReport(50, 47, 3), "it failed at 3 of 50 live inputs"),
        (ShadowReport(50, 50, 0, 15.1, 10.0), "its median latency is 15.1 ms against 10.0 ms"),
        (ShadowReport(50, 50, 0, 1.0, 0.1), ""),
        (ShadowReport(9, 9, 0, 100.0, 10.0), ""),
        (
            ShadowReport(50, 44, groups=(GroupAgreement("_silence_", 40, 40), GroupAgreement("yes", 10, 5))),
            "",
        ),
        (ShadowReport(50, 43, groups=(GroupAgreement("no", 1, 0), GroupAgreement("yes", 9, 0))), ""),
        (
            ShadowReport(50, 44, groups=(GroupAgreement("yes", 10, 4),)),
            "of 10 live inputs that the current model calls 'yes' it answered 4 alike, expected at least 50%",
        ),
        (ShadowReport(50, 50, 0, None, 10.0), ""),
    ],
)
def test_a_candidate_is_held_against_the_current_model(report: ShadowReport, said: str) -> None:
    found = judge_shadow(report, SETTINGS)
    assert found.startswith(said) and bool(found) == bool(said)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (ModelHealth(200, 5, 14.0), ""),
        (ModelHealth(200, 17), "17 of 117 inputs failed, 2.0% with the model before"),
        (ModelHealth(105, 4), ""),
        (ModelHealth(150, 0, 15.1), "its p95 latency is 15.1 ms against 10.0 ms"),
        (ModelHealth(149, 0, 15.1), ""),
        (
            ModelHealth(150, 0, 14.0, promise_ms=9.0),
            "its p95 latency is 14.0 ms against 9.0 ms, its card's promise for this board, expected",
        ),
        (ModelHealth(150, 0, 13.0, promise_ms=9.0), ""),
        (ModelHealth(100, 0, busy_s=60.1), "it has been at one input for 60 s"),
        (
            ModelHealth(100, 0, drift_moved=5),
            "5 statistics drifted from its baseline, 1 with the model before",
        ),
        (ModelHealth(100, 0, drift_moved=4), ""),
    ],
)
def test_a_watched_model_is_held_against_the_one_before(now: ModelHealth, said: str) -> None:
    before = Watch(error_rate=0.02, p95_ms=10.0, drift_moved=1)
    found = judge_watch(BEGIN, now, before, SETTINGS)
    assert found.startswith(said) and bool(found) == bool(said)


def test_a_watch_needs_its_time_and_its_inputs() -> None:
    assert not is_over(BEGIN, ModelHealth(300, 0), 299.0, SETTINGS)
    assert not is_over(BEGIN, ModelHealth(299, 0), 300.0, SETTINGS)
    assert is_over(BEGIN, ModelHealth(290, 10), 300.0, SETTINGS)


def test_error_rates_of_few_inputs_are_none() -> None:
    assert figures_of(ModelHealth(5, 4)).error_rate == 0.0
    assert figures_of(ModelHealth(90, 10, 3.0, 2)) == Watch(error_rate=0.1, p95_ms=3.0, drift_moved=2)
