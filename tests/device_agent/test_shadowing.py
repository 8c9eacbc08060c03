"""Of each kind of model a good candidate passes beside the live one, and a wrong one is refused with the reason."""

import gc
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from device_agent.shadow_cases import (
    Case,
    anomaly,
    boxes,
    classification,
    detection,
    embedding,
    keywords,
    pose,
    segmentation,
    series,
    tensors,
    tones,
    voice,
)
from device_agent.shadow_parts import (
    CHUNK,
    Item,
    Site,
    altered,
)
from sdk.test_sound_tasks import RATE as TONES_HZ
from sdk.vibration_files import WINDOW

import edgewise
from edgewise.tasks.audio_classification import AudioClassification
from edgewise.tasks.classification import Category
from edgewise.tasks.timings import Timings
from edgewise_agent.updates.judging import judge_shadow
from edgewise_agent.updates.live_model import ShadowReport
from edgewise_agent.updates.pairing import PENDING, Pairing
from edgewise_agent.updates.settings import AlikeSettings, UpdateSettings
from edgewise_agent.updates.shadowing import REST_S, Heard, ShadowRun

SETTINGS = UpdateSettings(max_slowdown=1000.0)
"""Of models that take a tenth of a millisecond the latency is the scheduler's."""
KINDS = (classification, boxes, segmentation, embedding, pose, tones, anomaly, voice, tensors)
LONG = [pytest.param(make, marks=pytest.mark.long) for make in (detection, keywords, series)]


@pytest.mark.parametrize("make", [*KINDS, *LONG], ids=lambda make: make.__name__)
def test_a_good_update_passes_and_a_wrong_one_is_refused_with_the_reason(
    tmp_path: Path, make: Callable[[Path], Case]
) -> None:
    case = make(tmp_path)
    with Site(tmp_path, case.current, case.items, source=case.source) as site:
        good = site.shadow(case.good, inputs=case.inputs)
        wrong = site.shadow(case.wrong, inputs=case.inputs)
        assert site.pipeline.counts[1] == 0
    assert good.inputs >= case.inputs and not good.errors, good
    assert judge_shadow(good, SETTINGS) == "", good
    said = judge_shadow(wrong, SETTINGS)
    assert "live inputs" in said and "expected at least" in said, (said, wrong)


def test_windows_are_cut_where_the_current_model_cuts_them_also_when_the_source_begins_again(
    tmp_path: Path,
) -> None:
    """Tones change in the middle of windows; a candidate that cut elsewhere would hear another share of each."""
    case = tones(tmp_path)
    changing = case.items[: 3 * TONES_HZ // CHUNK]
    with Site(tmp_path, case.current, changing, source="microphone:", ends_after=45) as site:
        report = site.shadow(case.good, inputs=60, alike=AlikeSettings(windows=0))
    assert (report.agreed, report.errors) == (report.inputs, 0)


def test_a_candidate_that_cuts_other_windows_is_held_against_the_nearest_answer(tmp_path: Path) -> None:
    case = anomaly(tmp_path)
    card = edgewise.read_model(case.current).card
    assert card and card.inputs[0].series
    other = replace(card.inputs[0], series=replace(card.inputs[0].series, stride=WINDOW // 2))
    candidate = altered(tmp_path / "stride.onnx", case.current, name="stride", inputs=(other,))
    with Site(tmp_path, case.current, case.items, source="push:1") as site:
        report = site.shadow(candidate, inputs=20)
    assert report.inputs >= 20 and report.agreed >= 0.8 * report.inputs, report


class Failing:
    """A candidate that raises what no SDK would."""

    remembers = False

    def __init__(self, error: BaseException | None = None, delay_s: float = 0.0) -> None:
        self.error, self.delay_s, self.asked = error, delay_s, 0

    def answers(self, item: Item) -> Any:
        self.asked += 1
        time.sleep(self.delay_s)
        if self.error:
            raise self.error
        return iter(())

    def go_on_from(self, windows: Any, item: Item) -> bool:
        return True

    def real(self, answer: Any) -> Any:
        return answer


def run_beside(
    site: Site, candidate: Any, *, inputs: int = 10, within_s: float = 1.0, **changes: Any
) -> ShadowReport:
    settings = UpdateSettings(**{"shadow_share": 1.0, **changes})
    heard = Heard(site.slot)
    site.pipeline.follow(heard)
    run = ShadowRun(candidate, site.slot, settings, dropped=lambda: site.pipeline.dropped)
    report = run.run(heard, inputs=inputs, within_s=within_s, should_stop=lambda: False)
    site.pipeline.follow(None)
    return report


def test_whatever_a_candidate_raises_is_counted_and_the_pipeline_does_not_notice(tmp_path: Path) -> None:
    case = classification(tmp_path)
    with Site(tmp_path, case.current, case.items) as site:
        for error in (edgewise.InvalidInput("no"), MemoryError(), ZeroDivisionError()):
            report = run_beside(site, Failing(error))
            assert (report.inputs, report.errors, report.agreed) == (10, 10, 0)
        assert site.pipeline.counts[1] == 0
    assert judge_shadow(report, SETTINGS) == "it failed at 10 of 10 live inputs"


def test_a_slow_candidate_is_passed_by_and_never_holds_the_pipeline_up(tmp_path: Path) -> None:
    case = tensors(tmp_path)
    with Site(tmp_path, case.current, case.items, source="push:1", pace_s=0.0) as site:
        slow = Failing(delay_s=0.2)
        before = site.pipeline.counts[0]
        run_beside(site, slow, within_s=0.5)
        passed = site.pipeline.counts[0] - before
    assert slow.asked <= 4 and passed > 20 * slow.asked


def test_it_takes_its_share_of_the_time_and_rests_while_inputs_are_left_out(tmp_path: Path) -> None:
    slept: list[float] = []
    dropped = iter([0, 0, 5, *[5] * 1000])
    case = classification(tmp_path)
    with Site(tmp_path, case.current, case.items) as site:
        heard = Heard(site.slot)
        site.pipeline.follow(heard)
        run = ShadowRun(
            Failing(ZeroDivisionError(), delay_s=0.01),
            site.slot,
            UpdateSettings(shadow_share=0.25),
            dropped=lambda: next(dropped),
            wait=slept.append,
        )
        report = run.run(heard, inputs=4, within_s=30.0, should_stop=lambda: False)
    assert report.rests == 1
    assert sum(slept) >= 4 * 0.03 + REST_S - 0.2  # three times what it computed, and the rest


def test_memory_is_given_back_after_a_shadow_run(tmp_path: Path) -> None:
    case = classification(tmp_path)
    with Site(tmp_path, case.current, case.items) as site:
        live = site.slot.model
        site.shadow(case.good, inputs=6)
        gc.collect()
        kept = [one for one in gc.get_objects() if isinstance(one, edgewise.Model) and one is not live]
    assert (kept, site.tidied.calls) == ([], 1)


def test_an_answer_that_never_comes_is_not_alike() -> None:
    pairing = Pairing(AlikeSettings(), remembers=False)
    for place in range(PENDING + 10):
        pairing.add(place, [{"out": np.ones(3)}], [])
    pairing.end()
    assert (pairing.inputs, pairing.agreed) == (PENDING + 10, 0)


@pytest.mark.parametrize(("windows", "agreed"), [(0, 0), (1, 4)])
def test_a_word_may_come_a_window_earlier_or_later(windows: int, agreed: int) -> None:
    def said(label: str) -> AudioClassification:
        return AudioClassification((Category(0, label, 0.9),), Timings(0.0, 0.0, 0.0))

    pairing = Pairing(AlikeSettings(windows=windows), remembers=False)
    for place in range(4):
        pairing.add(place, [said("yes" if place % 2 else "no")], [said("no" if place % 2 else "yes")])
    pairing.end()
    assert (pairing.inputs, pairing.agreed) == (4, agreed)
