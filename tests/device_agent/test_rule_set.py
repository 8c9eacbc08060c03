"""Rules on answers: conditions, windows, zones, lines, debounce, hysteresis and cooldown."""

from typing import Any

import msgspec
import numpy as np
import pytest
from device_agent.rule_parts import TIMINGS, classification, detections, people, standing

import edgewise
from edgewise_agent.errors import InvalidSettings
from edgewise_agent.rules import Change, Fired, RuleSet, RulesSettings

GATE = {"gate": [[0.5, 0.0], [0.5, 1.0]]}
"""From top to bottom in the middle: its right hand is the picture's left half."""
DOOR = {"door": [[0, 0], [1, 0], [1, 1]]}


def rules(*given: dict[str, Any], kind: str = "", labels: tuple[str, ...] = (), **more: Any) -> RuleSet:
    settings = msgspec.convert({"rule": list(given), **more}, RulesSettings)
    return RuleSet(settings, kind=kind, labels=labels)


def told(rule_set: RuleSet, answers: list[Any], *, step_s: float = 1.0) -> list[list[Fired]]:
    return [
        rule_set.look(answer, mono_s=place * step_s, ts_ms=1_000 * place)
        for place, answer in enumerate(answers)
    ]


def places(rule_set: RuleSet, answers: list[Any], *, step_s: float = 1.0) -> list[int]:
    """At which inputs something was told."""
    return [place for place, fired in enumerate(told(rule_set, answers, step_s=step_s)) if fired]


def scored(*scores: float) -> list[Any]:
    return [classification(("cat", score), ("dog", 0.1)) for score in scores]


def test_a_rule_is_told_once_when_it_begins_with_what_it_saw() -> None:
    one = {
        "name": "cat", "when": 'label == "cat" and score > 0.5', "severity": "warning", "snapshot": True,
        "message": "{label} at {score:.2f}, {margin:.1f} ahead",
    }  # fmt: skip
    fired = told(rules(one), scored(0.3, 0.8, 0.9, 0.2, 0.7))
    assert [len(each) for each in fired] == [0, 1, 0, 0, 1]
    (first,) = fired[1]
    assert (first.event, first.severity, first.snapshot, first.ts_ms) == ("rule.cat", "warning", True, 1_000)
    assert first.message == "cat at 0.80, 0.7 ahead"
    assert first.data == {"change": "started", "label": "cat", "score": 0.8, "total": 2.0}


def test_each_tells_every_input_and_cooldown_thins_it() -> None:
    every = {"name": "a", "when": "score > 0.5", "tell": "each"}
    assert places(rules(every), scored(0.9, 0.9, 0.1, 0.9)) == [0, 1, 3]
    assert places(rules({**every, "cooldown_s": 3}), scored(*[0.9] * 8)) == [0, 3, 6]


def test_debounce_waits_for_inputs_and_for_seconds_in_a_row() -> None:
    hot = [0.9, 0.9, 0.1, 0.9, 0.9, 0.9, 0.9]
    assert places(rules({"name": "a", "when": "score > 0.5", "for_inputs": 3}), scored(*hot)) == [5]
    assert places(rules({"name": "a", "when": "score > 0.5", "for_s": 3.0}), scored(*hot)) == [6]


def test_hysteresis_ends_only_where_it_is_said_to_end() -> None:
    one = {"name": "a", "when": "score > 0.8", "clear_when": "score < 0.4", "tell_end": True}
    fired = told(rules(one), scored(0.9, 0.5, 0.9, 0.7, 0.3, 0.5, 0.9))
    assert [[each.change for each in some] for some in fired] == [
        [Change.STARTED], [], [], [], [Change.ENDED], [], [Change.STARTED]
    ]  # fmt: skip
    assert fired[4][0].data["lasted_s"] == 4.0
    assert fired[4][0].snapshot is False


def test_a_start_in_the_cooldown_is_told_after_it_if_it_still_holds() -> None:
    one = {"name": "a", "when": "score > 0.5", "cooldown_s": 5.0}
    assert places(rules(one), scored(0.9, 0.1, 0.9, 0.9, 0.9, 0.9, 0.9)) == [0, 5]
    assert places(rules(one), scored(0.9, 0.1, 0.9, 0.1, 0.1, 0.1, 0.1)) == [0]


def test_a_window_counts_inputs_and_is_told_with_the_event() -> None:
    window = {"hits": {"of": "count", "value": "score > 0.5", "last_inputs": 4}}
    one = {"name": "a", "when": "hits >= 3", "window": window, "message": "{hits:.0f} of 4"}
    fired = told(rules(one), scored(0.9, 0.9, 0.1, 0.9, 0.1, 0.1))
    assert [[(each.message, each.data["hits"]) for each in some] for some in fired][3] == [("3 of 4", 3.0)]
    assert [len(some) for some in fired] == [0, 0, 0, 1, 0, 0]


def test_zones_count_what_stands_in_them() -> None:
    zones = {"left": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]}
    one = {"name": "a", "when": 'in_zone("left") >= 2 and in_zone("left", "person") == 1', "tell": "each"}
    answers = [
        people((10, 50), (80, 50)),
        detections(standing("person", 10, 50), standing("dog", 40, 90)),
        detections(standing("dog", 10, 50), standing("dog", 40, 90)),
    ]
    assert places(rules(one, zones=zones), answers) == [1]


def test_a_stay_in_a_zone_is_of_one_object() -> None:
    zones = {"left": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]}
    one = {"name": "loiters", "when": 'stay_s("left", "person") >= 3'}
    stays = [people((20 + place, 50)) for place in range(6)]
    assert places(rules(one, zones=zones), stays) == [3]
    passing = [people((place * 10, 50), (50 + place * 10, 90)) for place in range(5)] + [people((60, 50))]
    assert places(rules({**one, "when": 'stay_s("left", "person") >= 5'}, zones=zones), passing) == []


@pytest.mark.parametrize(("path", "side"), [(range(20, 81, 6), "left"), (range(80, 19, -6), "right")])
def test_a_line_is_crossed_once_and_to_one_side(path: range, side: str) -> None:
    each = {"tell": "each"}
    given = [
        {"name": to, "when": f'crossed("gate", "{to}", "person") == 1', **each}
        for to in ("left", "right", "either")
    ]
    fired = told(rules(*given, lines=GATE), [people((x, 50)) for x in path], step_s=0.1)
    assert [one.rule for some in fired for one in some] == sorted(
        [side, "either"], key=["left", "right", "either"].index
    )


def test_who_trembles_on_a_line_crosses_it_once() -> None:
    one = {"name": "a", "when": 'crossed("gate") > 0', "tell": "each"}
    path = [40, 46, 49.5, 50.5, 49.4, 50.6, 49.9, 52, 50.4, 49.6, 53, 60]
    assert len(places(rules(one, lines=GATE), [people((x, 50)) for x in path], step_s=0.1)) == 1


def test_who_passes_beyond_the_end_of_a_line_does_not_cross_it() -> None:
    short = {"gate": [[0.5, 0.0], [0.5, 0.4]]}
    one = {"name": "a", "when": 'crossed("gate") > 0', "tell": "each"}
    assert places(rules(one, lines=short), [people((x, 60)) for x in range(20, 81, 6)], step_s=0.1) == []


def test_a_total_of_crossings_is_a_window() -> None:
    window = {"through": {"of": "sum", "value": 'crossed("gate", "left")', "last_s": 60}}
    one = {"name": "busy", "when": "through >= 2", "window": window, "message": "{through:.0f} in a minute"}
    answers = [people((x, 30), (x - 20, 90)) for x in range(20, 95, 6)]
    fired = [one for some in told(rules(one, lines=GATE), answers, step_s=0.1) for one in some]
    assert [(one.message, one.data["through"]) for one in fired] == [("2 in a minute", 2.0)]


def test_every_kind_of_answer_can_be_asked() -> None:
    answers = {
        'label == "car" and score_of("car") > 0.5': edgewise.Classification(
            (edgewise.Category(0, "car", 0.6),), TIMINGS
        ),
        'text.as_lower.length > 3 and "ERROR" in text': edgewise.TextLine("ERROR 3", 0.9),
        'is_anomalous and top_channel == "x" and score > threshold': edgewise.Anomaly(
            3.0, 2.0, np.array([2.0, 1.0]), ("x", "y"), TIMINGS
        ),
        'label == "yes"': edgewise.Keyword(1, "yes", 0.8, 2.0),
        "is_speech and duration_s > 1": edgewise.SpeechSegment(1.0, 2.5),
        'share("sky") > 0.4 and label == "sky"': edgewise.Segmentation(
            np.array([[1, 1], [0, 2]], np.int16), ("none", "sky", "tree"), TIMINGS
        ),
        'count("person") == 1 and boxes.length == 1': edgewise.Poses(
            np.array([[[10, 10], [20, 40]]], np.float32), np.ones((1, 2), np.float32), np.array([0.7], np.float32),
            None, ("head", "foot"), ((0, 1),), (100, 100), TIMINGS,
        ),
        'output("speed") > 1': edgewise.Tensors({"speed": np.array([[1.5]])}, TIMINGS),
        'output("level") < 0': {"level": np.array([-2.0, 1.0])},
        'label == "run"': edgewise.SeriesAnswer(0, "run", 0.9, 0.0, 1.0, True),
        'label == "ann" and score > 0.5': edgewise.Match("ann", 0.7),
        "total == 3": edgewise.Embedding(np.ones(3, np.float32), TIMINGS),
    }  # fmt: skip
    for when, answer in answers.items():
        rule_set = rules({"name": "a", "when": when})
        assert rule_set.look(answer, mono_s=0.0, ts_ms=0), when
        assert rule_set.failures == 0


def test_answers_that_are_not_finite_fail_no_rule() -> None:
    rule_set = rules({"name": "a", "when": "score >= 0 and margin >= 0", "tell": "each"})
    for bad in (float("nan"), float("inf"), -float("inf")):
        assert rule_set.look(classification(("a", bad)), mono_s=0.0, ts_ms=0)
        assert rule_set.look(detections(("a", bad, (bad, bad, bad, bad))), mono_s=0.0, ts_ms=0)
    assert rule_set.failures == 0


def test_a_rule_without_a_value_is_counted_and_the_others_go_on() -> None:
    rule_set = rules(
        {"name": "bad", "when": "1 / (total - 2) > 0", "tell": "each"},
        {"name": "good", "when": "score > 0", "tell": "each"},
    )
    fired = told(rule_set, scored(0.5, 0.5, 0.5))
    assert [[one.rule for one in some] for some in fired] == [["good"]] * 3
    trouble = rule_set.take_trouble(mono_s=2.0)
    assert trouble is not None and trouble.counts == {"bad": 3} and "division by zero" in trouble.last
    rule_set.look(scored(0.5)[0], mono_s=3.0, ts_ms=0)
    assert rule_set.take_trouble(mono_s=3.0) is None
    later = rule_set.take_trouble(mono_s=62.0)
    assert later is not None and later.counts == {"bad": 1}
    assert rule_set.failures == 4


def test_what_is_no_answer_is_counted_too() -> None:
    rule_set = rules({"name": "a", "when": "score > 0"})
    assert rule_set.look({"label": "cat"}, mono_s=0.0, ts_ms=0) == []
    assert "expected the answer of a task" in rule_set.take_trouble(mono_s=0.0).last  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("rule", "more", "says"),
    [
        ({"when": "scor > 1"}, {}, r"rules.rule\[0\] 'a'.when: column 1: unknown 'scor'; did you mean 'score'\?"),
        ({"when": 'in_zone("dor") > 0'}, {"zones": DOOR}, "unknown zone 'dor'; known are 'door'"),
        ({"when": 'crossed("x") > 0'}, {}, "unknown line 'x'; known are none"),
        ({"when": 'crossed("gate", "up") > 0'}, {"lines": GATE}, "unknown side 'up'; known are 'left', "),
        ({"when": 'count("cta") > 0'}, {"labels": ("cat", "dog")}, "unknown label 'cta'; known are 'cat', 'dog'"),
        ({"when": "is_anomalous"}, {"kind": "detections"}, "'is_anomalous' has no meaning for answers of"),
        ({"when": "score > 0", "message": "{label.__class__}"}, {}, r"message: column 1: got '{label.__class__}'"),
        ({"when": "score > 0", "message": "{label:.2f}"}, {}, "label is no number"),
        ({"when": "score > 0", "tell": "each", "tell_end": True}, {}, 'got "each" with clear_when or tell_end'),
        ({"when": "w > 0", "window": {"w": {"of": "sum", "value": "score"}}}, {}, "expected one of last_s and"),
        ({"when": "true", "window": {"score": {"of": "sum", "value": "1", "last_s": 1}}}, {}, "got the name 'score'"),
        ({"when": "w", "window": {"w": {"of": "sum", "value": "1", "last_s": 1}}}, {}, "got a number, expected"),
        ({"when": "true"}, {"lines": {"a": [[0.1, 0.1], [0.1, 0.1]]}}, "rules.lines.a: got two ends at one place"),
    ],
)  # fmt: skip
def test_a_mistake_is_found_before_the_first_input(
    rule: dict[str, Any], more: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidSettings, match=says):
        rules({"name": "a", **rule}, **more)


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(InvalidSettings) as caught:
        rules({"name": "a", "when": "x > 1", "clear_when": "y < 1"}, {"name": "a", "when": "true"})
    assert [problem.where for problem in caught.value.problems] == [
        "rules.rule[0] 'a'.when", "rules.rule[0] 'a'.clear_when", "rules.rule[1] 'a'"
    ]  # fmt: skip
