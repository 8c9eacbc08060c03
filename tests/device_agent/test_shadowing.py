"""Of each kind of model a good candidate passes beside the live one, and a wrong one is refused with the reason."""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from device_agent.shadow_parts import (
    CHUNK,
    Item,
    Site,
    altered,
    measurements,
    pictures,
    sound,
    write_filter,
    write_listener,
    write_pixel_network,
)
from PIL import Image
from sdk.detection_files import write_posing, write_yunet
from sdk.exercise_files import TEST_SUBJECTS, write_exercise_model
from sdk.test_sound_tasks import RATE as TONES_HZ
from sdk.test_sound_tasks import write_described_tones
from sdk.vibration_files import WINDOW, write_vibration_model

import edgewise
import models_and_data
from edgewise.model_card import IMAGE_EMBEDDING, IMAGE_SEGMENTATION
from edgewise.pose_card import PoseCard
from edgewise.tasks.audio_classification import AudioClassification
from edgewise.tasks.classification import Category
from edgewise.tasks.timings import Timings
from edgewise.testing import tiny_card, write_tiny_detector, write_tiny_model
from edgewise_agent.updates.judging import judge_shadow
from edgewise_agent.updates.live_model import ShadowReport
from edgewise_agent.updates.pairing import PENDING, Pairing
from edgewise_agent.updates.settings import AlikeSettings, UpdateSettings
from edgewise_agent.updates.shadowing import REST_S, Heard, ShadowRun
from model_sources.exercises import RATE_HZ, read_exercises
from model_sources.vibration import RATE_HZ as VIBRATION_HZ
from model_sources.vibration import read_vibration

ROOT = Path(__file__).parents[2]
KEYWORDS = ROOT / "examples/data/keywords.onnx"
SETTINGS = UpdateSettings(max_slowdown=1000.0)
"""Of models that take a tenth of a millisecond the latency is the scheduler's."""
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


@dataclass(frozen=True)
class Case:
    """A model that runs, what it sees, an update that is as good, and one that is not."""

    current: Path
    good: Path
    wrong: Path
    items: list[Item]
    source: str = "/photos"
    inputs: int = 30


def patches() -> list[np.ndarray]:
    return [np.full((8, 8, 3), colour, np.uint8) for colour in COLOURS]


def classification(folder: Path) -> Case:
    wrong = replace(tiny_card(name="wrong"), labels=("green", "blue", "red"))
    return Case(
        write_tiny_model(folder / "a.tflite"),
        write_tiny_model(folder / "good.tflite", card=tiny_card(name="good")),
        write_tiny_model(folder / "wrong.tflite", card=wrong),
        pictures(patches(), 3),
    )


def detection(folder: Path) -> Case:
    """YuNet; the other weights find something else or nothing."""
    current = write_yunet(folder / "a.onnx", models_and_data.yunet_onnx())
    photo = np.asarray(Image.open(models_and_data.astronaut_photo()).convert("RGB"))
    return Case(
        current,
        altered(folder / "good.onnx", current, name="good", noise=0.001),
        altered(folder / "wrong.onnx", current, name="wrong", noise=0.5),
        pictures([photo, photo[:, ::-1].copy(), photo[:300, 50:400].copy()], 3),
        inputs=4,
    )


def boxes(folder: Path) -> Case:
    """A detector of one box in what is green; the wrong model calls it otherwise."""
    current = write_tiny_detector(folder / "a.tflite")
    file = edgewise.read_model(current)
    assert file.card
    made = []
    for name, labels in (("good", ("here",)), ("wrong", ("there",))):
        made.append(write_tiny_detector(folder / f"{name}.tflite"))
        edgewise.write_model(
            made[-1], made[-1].read_bytes(), card=replace(file.card, name=name, labels=labels)
        )
    return Case(current, *made, pictures(patches(), 3), inputs=36)


def segmentation(folder: Path) -> Case:
    """Labels in another order are no other answer, other labels are."""
    half = np.concatenate([patches()[0][:4], patches()[1][:4]])
    names, turned = ("red", "green", "blue"), [2, 0, 1]
    return Case(
        write_pixel_network(folder / "a.onnx", IMAGE_SEGMENTATION, np.eye(3), names),
        write_pixel_network(
            folder / "good.onnx", IMAGE_SEGMENTATION, np.eye(3)[turned], tuple(names[i] for i in turned)
        ),
        write_pixel_network(folder / "wrong.onnx", IMAGE_SEGMENTATION, np.eye(3)[turned], names),
        pictures([*patches(), half], 4),
    )


def embedding(folder: Path) -> Case:
    random = np.random.default_rng(0)
    weights = random.standard_normal((16, 3))
    return Case(
        write_pixel_network(folder / "a.onnx", IMAGE_EMBEDDING, weights),
        write_pixel_network(
            folder / "good.onnx", IMAGE_EMBEDDING, weights + 0.01 * random.standard_normal((16, 3))
        ),
        write_pixel_network(folder / "wrong.onnx", IMAGE_EMBEDDING, random.standard_normal((16, 3))),
        pictures(patches(), 3),
    )


def pose(folder: Path) -> Case:
    """A head's real decoding of points that are made up: a body, the same a little off, and one upside down."""
    random = np.random.default_rng(0)
    points = np.concatenate([random.uniform(0.2, 0.8, (17, 2)), np.full((17, 1), 0.9)], axis=1)
    points = points.astype(np.float32).reshape(1, 1, 17, 3)
    near, far = points.copy(), points.copy()
    near[..., :2] += 0.01
    far[..., 0] = 1.0 - far[..., 0]
    files = [
        write_posing(folder / f"{name}.onnx", {"out": values}, PoseCard("movenet"))
        for name, values in (("a", points), ("good", near), ("wrong", far))
    ]
    return Case(*files, pictures(patches(), 3))


def keywords(folder: Path) -> Case:
    """Real words, one every 1.5 s; the wrong model has its labels shuffled between the words only."""
    said = spoken_words()
    card = edgewise.read_model(KEYWORDS).card
    assert card
    words = [label for label in card.labels if not label.startswith("_")]
    turned = dict(zip(words, [*words[1:], words[0]], strict=True))
    return Case(
        altered(folder / "a.onnx", KEYWORDS, name="keywords"),
        altered(folder / "good.onnx", KEYWORDS, name="good", noise=0.01),
        altered(
            folder / "wrong.onnx", KEYWORDS, name="wrong", labels=tuple(turned.get(x, x) for x in card.labels)
        ),
        sound(said),
        source="microphone:",
        inputs=60,
    )


def spoken_words() -> np.ndarray:
    from sdk.keyword_files import stream_of

    from model_sources.spoken_words import clips

    found = clips("validation")
    places = list(range(0, len(found.samples), max(len(found.samples) // 20, 1)))[:20]
    return stream_of(found, places, seed=3, every_s=1.5) / 32768


def tones(folder: Path) -> Case:
    """A network that tells low tones from high ones; the wrong model knows the silence, and no tone."""
    current = write_described_tones(folder / "a.onnx", ("_silence_", "low", "high"))
    time = np.arange(TONES_HZ) / TONES_HZ
    heard = [np.zeros(TONES_HZ), *(0.5 * np.sin(2 * np.pi * hz * time) for hz in (400, 3000))]
    return Case(
        current,
        altered(folder / "good.onnx", current, name="good"),
        altered(folder / "wrong.onnx", current, name="wrong", labels=("_silence_", "high", "low")),
        sound(np.concatenate([*heard, np.zeros(5 * TONES_HZ)]), rate_hz=TONES_HZ),
        source="microphone:",
        inputs=90,
    )


def series(folder: Path) -> Case:
    data = read_exercises(models_and_data.SOURCES["exercises"].make())
    current = write_exercise_model(folder / "a.onnx", data)
    rows = [r for r, s in zip(data.recordings, data.subjects, strict=True) if s in TEST_SUBJECTS]
    return Case(
        current,
        altered(folder / "good.onnx", current, name="good", noise=0.001),
        altered(folder / "wrong.onnx", current, name="wrong", labels=(*data.names[1:], data.names[0])),
        measurements(np.concatenate(rows), RATE_HZ, 25),
        source="push:1",
    )


def anomaly(folder: Path) -> Case:
    """Good bearings and bad ones in turn; the wrong model calls all of them normal."""
    data = read_vibration(models_and_data.SOURCES["vibration"].make())
    write_vibration_model(folder / "a.onnx", data)
    card = edgewise.read_model(folder / "a.onnx").card
    assert card and card.anomaly and card.anomaly.threshold is not None
    blind = replace(card.anomaly, threshold=card.anomaly.threshold * 1000)
    good, bad = ([data.recordings[name] for name in data.recordings if ("baseline" in name) == is_good]
                 for is_good in (True, False))  # fmt: skip
    rows = [piece[i * WINDOW : (i + 1) * WINDOW] for i in range(8) for piece in (good[-1], bad[0])]
    return Case(
        folder / "a.onnx",
        altered(folder / "good.onnx", folder / "a.onnx", name="good", noise=0.0001),
        altered(folder / "wrong.onnx", folder / "a.onnx", name="wrong", anomaly=blind),
        measurements(np.concatenate(rows), VIBRATION_HZ, WINDOW // 2),
        source="push:1",
    )


def voice(folder: Path) -> Case:
    """silero-vad, which carries a state on; the other weights hear no voice, or always one."""
    current = write_listener(folder / "a.onnx")
    return Case(
        current,
        altered(folder / "good.onnx", current, name="good", noise=0.001),
        altered(folder / "wrong.onnx", current, name="wrong", noise=1.0),
        sound(spoken_words()),
        source="microphone:",
        inputs=80,
    )


def tensors(folder: Path) -> Case:
    random = np.random.default_rng(0)
    weights = random.standard_normal((4, 5))
    return Case(
        write_filter(folder / "a.onnx", weights),
        write_filter(folder / "good.onnx", weights + 0.01 * random.standard_normal((4, 5))),
        write_filter(folder / "wrong.onnx", random.standard_normal((4, 5))),
        measurements(random.standard_normal((160, 4)), 50.0, 16),
        source="push:1",
    )


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
        run_beside(site, slow, within_s=1.0)
        passed = site.pipeline.counts[0] - before
    assert slow.asked <= 6 and passed > 20 * slow.asked


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
    assert kept == []


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
