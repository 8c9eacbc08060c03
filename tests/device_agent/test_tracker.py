"""Tracks keep their number while their object moves: on drawn paths, and on detections of a real face that is moved."""

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import edgewise
from edgewise.model_card import ImagePreprocess
from edgewise_agent.rules import Box, RuleSet, RulesSettings, facts_of
from edgewise_agent.rules.settings import RuleSettings
from edgewise_agent.rules.tracker import MAX_TRACKS, Tracker


def box(x: float, y: float, *, side: float = 0.1, label: str = "person", score: float = 0.9) -> Box:
    """By its middle."""
    return Box(label, score, x, y + side / 2, side, side, x - side / 2, y - side / 2)


def numbers(tracker: Tracker, pictures: list[list[Box]], *, step_s: float = 0.1) -> list[list[int]]:
    return [
        [track.number for track in tracker.update(boxes, mono_s=place * step_s)]
        for place, boxes in enumerate(pictures)
    ]


def test_two_that_pass_each_other_keep_their_numbers() -> None:
    pictures = [[box(0.1 + 0.04 * n, 0.45), box(0.9 - 0.04 * n, 0.55)] for n in range(20)]
    assert numbers(Tracker(), pictures) == [[1, 2]] * 20


def test_the_order_of_boxes_does_not_matter() -> None:
    pictures = [[box(0.1 + 0.04 * n, 0.3), box(0.1 + 0.04 * n, 0.7)][:: (-1) ** n] for n in range(10)]
    assert numbers(Tracker(), pictures) == [[1, 2] if n % 2 == 0 else [2, 1] for n in range(10)]


def test_what_moves_by_almost_its_own_size_is_followed() -> None:
    assert numbers(Tracker(), [[box(0.05 + 0.09 * n, 0.5)] for n in range(10)]) == [[1]] * 10


def test_labels_are_not_mixed_up() -> None:
    assert numbers(Tracker(), [[box(0.5, 0.5)], [box(0.5, 0.5, label="dog")]]) == [[1], [2]]


def test_a_gap_is_bridged_up_to_its_limit_with_the_last_speed() -> None:
    moving = [[box(0.1 + 0.05 * n, 0.5)] if n not in (4, 5, 6) else [] for n in range(12)]
    assert [some for some in numbers(Tracker(max_gap_s=0.5), moving) if some] == [[1]] * 9
    assert numbers(Tracker(max_gap_s=0.2), moving)[7:] == [[2]] * 5


def test_a_crowd_on_circles_is_told_apart() -> None:
    def at(person: int, n: int) -> Box:
        angle = 2 * math.pi * (n / 60 + person / 8)
        return box(0.5 + 0.35 * math.cos(angle), 0.5 + 0.35 * math.sin(angle), side=0.12)

    pictures = [[at(person, n) for person in range(8)] for n in range(60)]
    assert numbers(Tracker(), pictures) == [list(range(1, 9))] * 60


def test_uncertain_boxes_are_not_tracked() -> None:
    assert numbers(Tracker(min_score=0.5), [[box(0.5, 0.5, score=0.4)], [box(0.5, 0.5)]]) == [[], [1]]


def test_memory_is_bounded() -> None:
    tracker = Tracker(max_gap_s=60.0)
    chance = np.random.default_rng(1)
    for n in range(50):
        tracker.update([box(*chance.random(2), side=0.001) for _ in range(100)], mono_s=n * 0.1)
    assert len(tracker._tracks) == MAX_TRACKS


@pytest.mark.parametrize(("step", "side"), [(16, "left"), (-16, "right")])
def test_a_real_face_that_moves_crosses_a_line_once(
    yunet: Path, astronaut_photo: Path, step: int, side: str
) -> None:
    """The photo is shifted under the camera; the middle of its face passes x = 0.5."""
    face = Image.open(astronaut_photo).convert("RGB").crop((100, 0, 356, 256)).resize((160, 160))
    settings = RulesSettings(
        rule=(
            RuleSettings(name="face", when=f'crossed("gate", "{side}", "face") == 1', tell="each"),
            RuleSettings(name="wrong", when=f'crossed("gate") != crossed("gate", "{side}")', tell="each"),
        ),
        lines={"gate": ((0.5, 0.0), (0.5, 1.0))},
    )
    preprocess = ImagePreprocess((640, 640), "letterbox", colour="bgr")
    rules, tracker, seen, fired = RuleSet(settings, kind="detections"), Tracker(), set(), []
    places = range(20, 320, 16) if step > 0 else range(308, 8, -16)
    with edgewise.load(yunet, preprocess=preprocess, head="yunet", task="object-detection") as model:
        for n, left in enumerate(places):
            picture = Image.new("RGB", (480, 240), (90, 110, 90))
            picture.paste(face, (left, 40))
            found = model.predict(np.asarray(picture))
            seen |= {track.number for track in tracker.update(facts_of(found).boxes, mono_s=n * 0.1)}
            fired += rules.look(found, mono_s=n * 0.1, ts_ms=0)
    assert seen == {1}
    assert [one.rule for one in fired] == ["face"]
