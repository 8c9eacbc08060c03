"""What is raised and cleared, and when: the engine alone, with a clock of our own."""

from collections.abc import Sequence
from typing import Any

from edgewise_fleet.alerts import Alert, Engine, Heard, Observed, Target, builtin_rules, parse_rules
from edgewise_fleet.summary import Condition, DeviceSummary
from edgewise_messages import DeviceAddress, Event

NOW = 1_790_000_000_000
CAMERA = Target("shop", "cam")


def rules(text: str) -> Engine:
    return Engine(parse_rules(f"builtin = false\n{text}", where="test").rule)


def device(name: str = "cam", condition: Condition = Condition.ONLINE, **metrics: float) -> DeviceSummary:
    named = {key.replace("__", "."): value for key, value in metrics.items()}
    return DeviceSummary(
        group="shop", device=name, condition=condition, since_ms=NOW, last_seen_ms=NOW, metrics=named
    )


def event(name: str, at_s: float = 0, message: str = "", **data: Any) -> Heard:
    made = Event(ts_ms=NOW, mono_ns=1, boot="b", seq=1, name=name, message=message, data=data)
    return Heard(DeviceAddress("shop", "cam"), made, NOW + int(at_s * 1000))


def at(
    engine: Engine,
    seconds: float,
    *devices: DeviceSummary,
    events: Sequence[Heard] = (),
    trouble: Sequence[str] = (),
) -> list[Alert]:
    seen = Observed(
        now_ms=NOW + int(seconds * 1000), devices=devices or (device(),), events=events, trouble=trouble
    )
    return list(engine.judge(seen))


HOT = """
[[rule]]
name = "hot"
kind = "metric"
metric = "board.temperature_c"
above = 80
clear_at = 75
for_s = 60
clear_for_s = 30
cause = "{device} is at {value} over {limit} for {duration}"
remedy = "cool it"
"""


def test_a_metric_must_hold_before_it_is_raised_and_be_well_below_before_it_is_cleared() -> None:
    engine = rules(HOT)

    def step(seconds: float, celsius: float) -> list[Alert]:
        return at(engine, seconds, device(board__temperature_c=celsius))

    assert step(0, 81) == []
    assert step(59, 82) == []
    (raised,) = step(60, 83)
    assert (raised.target, raised.since_ms, raised.is_active) == (CAMERA, NOW, True)
    assert (raised.cause, raised.remedy) == ("cam is at 83 over 80 for 60 s", "cool it")
    assert step(61, 90) == []
    assert step(70, 78) == []  # between the limits
    assert step(80, 74) == []
    assert step(100, 77) == []  # back between them: the wait begins anew
    assert step(101, 74) == []
    assert step(130, 74) == []
    (cleared,) = step(131, 74)
    assert (cleared.rule, cleared.cleared_ms) == ("hot", NOW + 131_000)
    assert engine.active() == ()


def test_a_short_peak_raises_nothing() -> None:
    engine = rules(HOT)
    for seconds, celsius in ((0, 85), (50, 79), (55, 85), (100, 85)):
        assert at(engine, seconds, device(board__temperature_c=celsius)) == []
    assert len(at(engine, 115, device(board__temperature_c=85))) == 1


def test_a_device_that_is_away_keeps_its_alerts_and_raises_none_from_old_values() -> None:
    engine = rules(HOT.replace("for_s = 60", "for_s = 0"))
    away = device(condition=Condition.OFFLINE, board__temperature_c=99)
    assert at(engine, 0, away) == []
    assert len(at(engine, 1, device(board__temperature_c=99))) == 1
    assert at(engine, 500, device(condition=Condition.OFFLINE, board__temperature_c=20)) == []
    assert len(engine.active()) == 1


def test_each_pipeline_has_its_own_alert() -> None:
    engine = rules('[[rule]]\nname = "slow"\nkind = "metric"\nmetric = "model.latency_p95_ms"\nabove = 50')
    metrics = {
        "model.latency_p95_ms": 20.0,
        "door/model.latency_p95_ms": 70.0,
        "till/model.latency_p95_ms": 80.0,
    }
    raised = at(engine, 0, device(**metrics))
    assert {alert.target.pipeline for alert in raised} == {"door", "till"}
    assert str(raised[0].target) == "shop/cam (door)"
    assert "model.latency_p95_ms is 70, limit 50" in raised[0].cause


def test_below_and_bits() -> None:
    engine = rules(
        '[[rule]]\nname = "low"\nkind = "metric"\nmetric = "a.b"\nbelow = 10\nclear_at = 12\n'
        '[[rule]]\nname = "bit"\nkind = "metric"\nmetric = "board.throttled_now"\nbits = 6'
    )
    assert [one.rule for one in at(engine, 0, device(a__b=9, board__throttled_now=1))] == ["low"]
    assert [one.rule for one in at(engine, 1, device(a__b=11, board__throttled_now=5))] == ["bit"]
    assert [one.rule for one in at(engine, 2, device(a__b=12, board__throttled_now=1))] == ["low", "bit"]


def test_silent_and_offline_devices_are_told_and_stopped_ones_are_not() -> None:
    engine = rules('[[rule]]\nname = "gone"\nkind = "absence"\nfor_s = 10\ncause = "{message}"')
    names = {"a": Condition.SILENT, "b": Condition.OFFLINE, "c": Condition.STOPPED, "d": Condition.ONLINE}
    devices = [device(name, condition) for name, condition in names.items()]
    assert at(engine, 0, *devices) == []
    raised = at(engine, 10, *devices)
    assert [one.target.device for one in raised] == ["a", "b"]
    assert "says nothing" in raised[0].cause
    assert "the broker lost its connection" in raised[1].cause
    assert len(at(engine, 20, *[device(name) for name in names])) == 2


def test_an_event_raises_with_its_own_words_and_another_clears() -> None:
    engine = Engine(builtin_rules())
    rose = event("latency.rose", 0, "p95 rose from 20 to 44 ms because the board throttles", remedy="cool it")
    (raised,) = at(engine, 1, events=[rose])
    assert (raised.rule, raised.cause) == ("latency", rose.event.message)
    assert (raised.remedy, raised.since_ms) == ("cool it", NOW)
    assert at(engine, 2, events=[rose]) == []
    (cleared,) = at(engine, 3, events=[event("latency.normal", 2)])
    assert not cleared.is_active


def test_a_model_that_hangs_and_a_pipeline_that_stops_are_told_until_an_update_is_confirmed() -> None:
    engine = Engine(builtin_rules())
    stopped = event("pipeline.stopped", 1, "every model is worn out: 3 failures in a row")
    raised = at(engine, 2, events=[event("model.hung", 0, "no answer for 120 s"), stopped])
    assert {(one.rule, one.severity) for one in raised} == {
        ("model-fails", "warning"),
        ("pipeline-stopped", "critical"),
    }
    assert stopped.event.message in {one.cause for one in raised}
    cleared = at(engine, 9, events=[event("update.confirmed", 8)])
    assert {one.rule for one in cleared if not one.is_active} == {"model-fails", "pipeline-stopped"}


def test_a_replayed_old_event_does_not_raise_what_a_newer_one_cleared() -> None:
    engine = Engine(builtin_rules())
    assert len(at(engine, 100, events=[event("latency.rose", 90)])) == 1
    assert len(at(engine, 101, events=[event("latency.normal", 95)])) == 1
    assert at(engine, 102, events=[event("latency.rose", 50)]) == []


def test_an_event_alert_without_a_clearing_event_is_over_after_its_time() -> None:
    engine = rules('[[rule]]\nname = "up"\nkind = "event"\nevents = ["x.y"]\nclear_after_s = 100')
    assert len(at(engine, 0, events=[event("x.y")])) == 1
    assert at(engine, 60, events=[event("x.y", 60)]) == []
    assert at(engine, 159) == []
    assert len(at(engine, 160)) == 1


def test_a_counter_that_grows_is_told_also_after_the_device_began_anew() -> None:
    engine = rules(
        '[[rule]]\nname = "lost"\nkind = "rise"\nmetric = "agent.dropped_records"\nclear_for_s = 60'
    )

    def step(seconds: float, count: float) -> list[Alert]:
        return at(engine, seconds, device(agent__dropped_records=count))

    assert step(0, 500) == []  # the first reading has no before
    (raised,) = step(5, 512)
    assert "12" in raised.cause
    assert step(10, 512) == []
    assert len(step(70, 512)) == 1
    assert step(75, 0) == []
    assert len(step(80, 3)) == 1


def test_the_servers_own_trouble_is_an_alert() -> None:
    engine = Engine(builtin_rules())
    assert at(engine, 0, trouble=["broker: connection lost"]) == []
    (raised,) = at(engine, 30, trouble=["broker: connection lost"])
    assert (str(raised.target), raised.severity) == ("fleet server", "critical")
    assert "connection lost" in raised.cause
    assert len(at(engine, 40)) == 1


def test_a_rule_watches_only_its_groups_and_devices() -> None:
    engine = rules(HOT.replace("for_s = 60", 'for_s = 0\ngroups = ["other"]'))
    assert at(engine, 0, device(board__temperature_c=99)) == []


def test_alerts_of_an_earlier_run_hold_on_and_those_of_a_rule_that_is_gone_are_cleared() -> None:
    earlier = [
        Alert(rule, CAMERA, "warning", NOW - 5000, NOW - 1000, "c", "r") for rule in ("hot", "no-longer")
    ]
    engine = Engine(parse_rules(f"builtin = false\n{HOT}", where="test").rule, earlier)
    (cleared,) = at(engine, 0, device(board__temperature_c=90))
    assert cleared.rule == "no-longer"
    assert [one.rule for one in engine.active()] == ["hot"]


def test_an_alert_about_a_device_that_the_fleet_forgot_is_cleared() -> None:
    engine = rules(HOT.replace("for_s = 60", "for_s = 0"))
    assert len(at(engine, 0, device(board__temperature_c=90))) == 1
    (cleared,) = at(engine, 1, device("another"))
    assert cleared.target == CAMERA


def test_every_builtin_rule_says_cause_and_remedy() -> None:
    for rule in builtin_rules():
        assert rule.cause and rule.remedy, rule.name
