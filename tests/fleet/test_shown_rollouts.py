"""Rollouts on the page, over the real store of rollouts."""

from collections.abc import Iterator

import pytest

from edgewise_fleet.errors import BadRollout
from edgewise_fleet.rollouts.plan import parse_stages
from edgewise_fleet.rollouts.shown import ShownRollouts
from edgewise_fleet.rollouts.state import Plan
from edgewise_fleet.rollouts.wishes import begin
from edgewise_fleet.steering.choose import open_steering
from edgewise_fleet.steering.kept import KeptSteering


@pytest.fixture
def store(address: str) -> Iterator[KeptSteering]:
    made = open_steering(address)
    yield made
    made.close()


def plan(group: str) -> Plan:
    return Plan(
        target="models/door.tflite",
        sha256="b" * 64,
        version=4,
        group=group,
        stages=parse_stages("canary=2,100%"),
    )


def test_what_is_under_way_is_shown_newest_first_with_what_can_be_done(store: KeptSteering) -> None:
    begin(store, plan("shop"))
    latest = begin(store, plan("lab"))
    first, _ = ShownRollouts(store).lines()
    assert (first.key, first.model, first.phase) == (latest.id, "models/door.tflite version 4", "running")
    assert first.stage.startswith("1 of 2 (") and first.actions == ("pause", "roll back")


def test_actions_change_the_rollout_and_say_who_took_it_back(store: KeptSteering) -> None:
    rollout = begin(store, plan("shop"))
    shown = ShownRollouts(store)
    assert shown.act(rollout.id, "pause", who="ann").endswith("is paused")
    assert shown.lines()[0].actions == ("resume", "roll back")
    assert shown.act(rollout.id, "resume", who="ann").endswith("is running")
    shown.act(rollout.id, "roll back", who="ann")
    (line,) = shown.lines()
    assert line.phase == "halting" and "taken back by ann" in line.reason and line.actions == ()
    with pytest.raises(BadRollout, match="is halting, expected running"):
        shown.act(rollout.id, "pause", who="ann")
    with pytest.raises(
        BadRollout, match="got the action 'explode', expected one of pause, resume, roll back"
    ):
        shown.act(rollout.id, "explode", who="ann")
