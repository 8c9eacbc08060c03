"""The engine alone: what it decides from what is seen. Time is a number here."""

from dataclasses import replace as changed

import pytest
from msgspec.structs import replace

from edgewise_fleet.errors import BadRollout
from edgewise_fleet.rollouts.engine import COMMAND_LIFE_MS, RESEND_MS, Order, advance, halted
from edgewise_fleet.rollouts.observation import Observation, Told
from edgewise_fleet.rollouts.plan import dry_run, in_order, parse_seconds, parse_stages
from edgewise_fleet.rollouts.state import DevicePhase, Gates, Phase, Plan, Rollout
from edgewise_messages import DeviceAddress, Outcome, Response

OLD, NEW = "a" * 64, "b" * 64
START_MS = 1_700_000_000_000


class World:
    """Devices as the engine sees them; every one does what it is told unless the test says otherwise."""

    def __init__(self, devices: int = 10, **plan: object) -> None:
        more = {"stages": parse_stages("canary=2,50%,100%"), "hold_s": 10.0, **plan}
        self.rollout = Rollout(
            id="r-1", created_ms=START_MS, plan=Plan(target="models/x.tflite", sha256=NEW, **more)
        )
        addresses = [DeviceAddress("g", f"d{number}") for number in range(devices)]
        self.seen = {
            one: Observation(
                address=one, is_online=True, last_seen_ms=START_MS, sha256=OLD, p95_ms=20.0, inferences=1000.0
            )
            for one in addresses
        }
        self.devices: dict = {}
        self.now_ms = START_MS
        self.orders: list[Order] = []
        self.last: list[Order] = []
        self.history: list[str] = []

    def look(self, seconds: float = 1.0) -> list[Order]:
        """Time passes, everybody online reports, one look."""
        self.now_ms += int(seconds * 1000)
        for address, one in self.seen.items():
            if one.is_online:
                self.see(address, last_seen_ms=self.now_ms, inferences=one.inferences + 50)
        step = advance(self.rollout, self.devices, self.seen, self.now_ms)
        self.rollout, self.devices = step.rollout, step.devices
        self.orders += step.orders
        self.last = step.orders
        self.history += [one.what for one in step.decisions]
        return step.orders

    def see(self, address: DeviceAddress, **changes: object) -> None:
        self.seen[address] = changed(self.seen[address], **changes)

    def answer(self, order: Order, outcome: Outcome = Outcome.DONE, message: str = "") -> None:
        self.see(
            order.address, response=Response(id=order.command_id, outcome=outcome, ts_ms=0, message=message)
        )

    def obey(self, order: Order) -> None:
        """As a good device with a good model."""
        self.answer(order)
        if order.name == "rollback":
            self.see(order.address, sha256=OLD)
        elif order.arguments["target"]:
            self.see(order.address, sha256=NEW)
            self.tell(order.address, "update.confirmed")

    def tell(self, address: DeviceAddress, name: str, message: str = "why", sha256: str = NEW) -> None:
        told = Told(at_ms=self.now_ms, name=name, message=message, sha256=sha256)
        self.see(address, events=(told, *self.seen[address].events))

    def canaries(self) -> list[Order]:
        """The first look."""
        orders = self.look()
        assert len(orders) == 2
        return orders

    def updated(self) -> list[Order]:
        """Canaries that run it, and have not judged it yet."""
        orders = self.canaries()
        for order in orders:
            self.answer(order)
            self.see(order.address, sha256=NEW)
        self.look()
        assert self.count(DevicePhase.UPDATED) == 2
        return orders

    def run_well(self, looks: int = 60) -> None:
        for _ in range(looks):
            for order in self.look():
                self.obey(order)

    def count(self, phase: DevicePhase) -> int:
        return sum(one.phase is phase for one in self.devices.values())

    def assert_halted(self, *words: str) -> None:
        assert self.rollout.phase is Phase.HALTING
        assert all(word in self.rollout.reason for word in words), self.rollout.reason
        for order in self.last:
            self.obey(order)
        self.run_well(16)
        assert self.rollout.phase is Phase.HALTED
        assert {one.sha256 for one in self.seen.values()} == {OLD}


def test_a_good_model_reaches_everybody_stage_by_stage() -> None:
    world = World(10)
    told = []
    for _ in range(60):
        for order in world.look():
            world.obey(order)
        told.append(len(world.orders))
    assert (world.rollout.phase, world.count(DevicePhase.CONFIRMED)) == (Phase.DONE, 10)
    assert sorted(set(told)) == [2, 5, 10]
    assert told.count(2) > 10 and told.count(5) > 10, "each stage is held for its ten seconds"
    assert all(order.arguments == {"target": "models/x.tflite", "sha256": NEW} for order in world.orders)
    assert world.look() == [], "what is done stays so"


def test_the_lot_is_another_for_each_rollout_and_the_same_on_each_look() -> None:
    addresses = [DeviceAddress("g", f"d{number}") for number in range(50)]
    assert in_order("r-1", addresses) == in_order("r-1", reversed(addresses))
    assert in_order("r-1", addresses) != in_order("r-2", addresses)


@pytest.mark.parametrize("event", ["update.rejected", "update.rolled-back", "update.refused"])
def test_the_devices_own_verdict_halts_at_the_canary(event: str) -> None:
    world = World()
    first = world.canaries()[0]
    world.tell(first.address, event, "its golden cases fail")
    world.look()
    world.assert_halted("canary=2", event, "golden cases")
    assert world.count(DevicePhase.LEFT_OUT) == 8
    assert {order.address for order in world.orders} <= {
        one.address for one in world.devices.values() if one.told_ms
    }


def test_a_device_that_died_of_it_halts() -> None:
    world = World()
    first = world.canaries()[0]
    world.tell(first.address, "update.recovered", "the agent died while it was watched", sha256="")
    world.look()
    world.assert_halted("the agent died")


@pytest.mark.parametrize(
    ("figures", "words", "looks"),
    [
        ({"p95_ms": 31.0}, "p95 is 31.0 ms against 20.0", 2),
        ({"is_throttled": True}, "throttles", 2),
        ({"drift_moved": 4.0}, "4 statistics drifted, 0 before", 1),
        ({"errors": 10.0}, "inputs failed", 1),
        ({"sha256": OLD}, "another model again", 1),
    ],
)
def test_what_a_device_shows_after_the_switch_halts(figures: dict, words: str, looks: int) -> None:
    world = World()
    first = world.updated()[0]
    world.see(first.address, **figures)
    for look in range(looks):
        assert world.rollout.phase is Phase.RUNNING, f"too early, look {look}"
        world.look()
    world.assert_halted(words)


@pytest.mark.parametrize(
    "figures",
    [{"p95_ms": 29.0}, {"drift_moved": 3.0}, {"errors": 2.0}, {"p95_ms": 20.9}],
)
def test_what_is_within_limits_does_not(figures: dict) -> None:
    world = World()
    first = world.updated()[0]
    world.see(first.address, **figures)
    for _ in range(5):
        world.look()
    assert world.rollout.phase is Phase.RUNNING


def test_one_slow_report_alone_is_no_verdict() -> None:
    world = World()
    first = world.updated()[0]
    for p95_ms in (50.0, 20.0, 50.0, 20.0):
        world.see(first.address, p95_ms=p95_ms)
        world.look()
    assert world.rollout.phase is Phase.RUNNING


def test_the_cards_promise_is_a_gate_of_its_own() -> None:
    world = World(gates=Gates(max_slowdown=100.0, max_p95_ms=25.0))
    first = world.updated()[0]
    world.see(first.address, p95_ms=26.0)
    world.look()
    world.look()
    world.assert_halted("promised are 25 ms")


def test_silence_after_the_update_is_a_failure_and_the_silent_one_goes_back_when_it_returns() -> None:
    world = World()
    first = world.updated()[0]
    world.see(first.address, is_online=False)
    world.look(119.0)
    assert world.rollout.phase is Phase.RUNNING
    world.look(3.0)
    assert world.rollout.phase is Phase.HALTING and "not heard for" in world.rollout.reason
    for order in world.last:
        world.obey(order)
    world.run_well(10)
    assert world.rollout.phase is Phase.HALTING, "one is still away"
    world.see(first.address, is_online=True)
    world.run_well(16)
    assert world.rollout.phase is Phase.HALTED and world.seen[first.address].sha256 == OLD


def test_a_device_that_sleeps_by_its_entry_is_not_silent_early() -> None:
    world = World()
    first = world.updated()[0]
    world.see(first.address, is_online=False, expected_silence_s=7200.0)
    world.look(3600.0)
    assert world.rollout.phase is Phase.RUNNING


def test_a_device_that_never_gets_there_is_a_failure_in_time() -> None:
    world = World()
    first = world.canaries()[0]
    world.answer(first)
    world.look(1799.0)
    assert world.rollout.phase is Phase.RUNNING
    world.look(3.0)
    world.assert_halted("does not run the model after")


def test_a_refused_command_is_a_failure_with_the_devices_reason() -> None:
    world = World()
    first = world.canaries()[0]
    world.answer(first, Outcome.REJECTED, "signature: by none of the 1 keys")
    world.look()
    world.assert_halted("set-model rejected: signature")


def test_the_same_command_is_sent_again_until_it_is_answered_and_another_one_when_it_expires() -> None:
    world = World()
    first, second = world.canaries()
    world.obey(second)
    assert world.look((RESEND_MS - 2000) / 1000) == []
    (again,) = world.look(2.0)
    assert again == first
    world.rollout = replace(
        world.rollout, plan=replace(world.rollout.plan, gates=Gates(update_s=1e6, silence_s=1e6))
    )
    (anew,) = world.look(COMMAND_LIFE_MS / 2000 + 1)
    assert anew.command_id != first.command_id and anew.arguments == first.arguments


def test_devices_that_are_offline_are_told_when_they_return() -> None:
    world = World(10)
    away = in_order("r-1", world.seen)[0]
    world.see(away, is_online=False)
    world.run_well()
    assert (world.rollout.phase, world.count(DevicePhase.CONFIRMED)) == (Phase.RUNNING, 9)
    world.see(away, is_online=True)
    world.run_well(30)
    assert (world.rollout.phase, world.count(DevicePhase.CONFIRMED)) == (Phase.DONE, 10)


def test_without_canaries_that_are_there_nothing_begins() -> None:
    world = World(5)
    for address in list(world.seen)[1:]:
        world.see(address, is_online=False)
    world.run_well()
    assert (world.rollout.stage, len(world.orders)) == (0, 1)


def test_no_more_are_under_way_than_allowed() -> None:
    world = World(100, at_once=7, stages=parse_stages("100%"))
    for _ in range(40):
        for order in world.look():
            world.obey(order)
        under_way = world.count(DevicePhase.TOLD) + world.count(DevicePhase.UPDATED)
        assert under_way <= 7
    assert world.rollout.phase is Phase.DONE


def test_a_pause_tells_nobody_new_and_still_halts_a_bad_model() -> None:
    world = World()
    first = world.updated()[0]
    world.rollout = replace(world.rollout, phase=Phase.PAUSED)
    for order in world.orders:
        world.tell(order.address, "update.confirmed")
    for _ in range(30):
        assert world.look() == []
    world.see(first.address, drift_moved=9.0)
    world.look()
    world.assert_halted("drifted")


def test_a_halt_by_hand_takes_everybody_back_also_those_that_confirmed_it() -> None:
    world = World()
    world.run_well(20)
    assert 2 < world.count(DevicePhase.CONFIRMED) < 10
    world.rollout, _ = halted(world.rollout, "by hand", world.now_ms)
    world.run_well(16)
    assert world.rollout.phase is Phase.HALTED
    assert {one.sha256 for one in world.seen.values()} == {OLD}


def test_a_second_rollback_is_never_sent_to_one_that_is_back() -> None:
    """It would go one model further back."""
    world = World()
    first, second = world.updated()
    world.see(first.address, drift_moved=9.0)
    assert world.look() == [], "they may be about to take it back themselves"
    world.look(5.0)
    rollbacks = [order for order in world.look(6.0) if order.name == "rollback"]
    assert {order.address for order in rollbacks} == {first.address, second.address}
    for order in rollbacks:  # done, but every response is lost
        world.see(order.address, sha256=OLD, drift_moved=0.0)
    for _ in range(10):
        assert [order for order in world.look(600.0) if order.name == "rollback"] == []
    assert world.rollout.phase is Phase.HALTED


def test_one_that_was_only_told_is_called_off_and_rolled_back_only_if_it_switched_meanwhile() -> None:
    world = World()
    first, second = world.canaries()
    world.tell(first.address, "update.rejected")
    orders = world.look()
    assert [(order.address, order.name, order.arguments) for order in orders] == [
        (second.address, "set-model", {"target": ""})
    ]
    world.answer(orders[0])
    world.see(second.address, sha256=NEW)
    (rollback,) = world.look()
    assert (rollback.address, rollback.name) == (second.address, "rollback")
    world.obey(rollback)
    world.look()
    assert world.rollout.phase is Phase.HALTED


def test_where_some_may_fail_they_go_back_alone_and_the_rest_goes_on() -> None:
    world = World(20, gates=Gates(max_failed_share=0.2))
    while world.rollout.stage == 0:
        world.run_well(1)
    orders = world.look()
    for order in orders:
        world.obey(order)
    bad = orders[0].address
    world.see(bad, drift_moved=9.0)
    world.run_well(60)
    assert (world.rollout.phase, world.count(DevicePhase.FAILED)) == (Phase.DONE, 1)
    assert "1 failed" in world.rollout.reason
    assert world.seen[bad].sha256 == OLD
    assert [order.address for order in world.orders if order.name == "rollback"] == [bad]


def test_who_runs_it_already_is_not_told_and_not_taken_back() -> None:
    world = World()
    first = in_order("r-1", world.seen)[0]
    world.see(first, sha256=NEW)
    world.look()
    assert world.devices[first].reason == "ran it already"
    world.rollout, _ = halted(world.rollout, "by hand", world.now_ms)
    world.run_well(16)
    assert world.rollout.phase is Phase.HALTED and world.seen[first].sha256 == NEW


def test_the_devices_verdict_is_not_waited_for_forever() -> None:
    world = World(2, stages=parse_stages("canary=2,100%"), gates=Gates(verdict_s=60.0))
    world.updated()
    world.look(61.0)
    world.look(11.0)
    world.run_well(15)
    assert world.rollout.phase is Phase.DONE
    assert "no verdict of its own" in next(iter(world.devices.values())).reason


@pytest.mark.parametrize(
    "text", ["", "10%", "canary=0,100%", "50%,10%,100%", "100%,canary=2", "canary=2", "x", "120%"]
)
def test_stages_that_are_none_are_said(text: str) -> None:
    with pytest.raises(BadRollout, match="expected"):
        parse_stages(text)


def test_times_are_read_with_their_unit() -> None:
    assert [parse_seconds(text) for text in ("90", "90s", "1.5m", "2h", "1d")] == [90, 90, 90, 7200, 86_400]
    with pytest.raises(BadRollout, match="expected a time"):
        parse_seconds("soon")


def test_a_dry_run_names_every_device_once() -> None:
    plan = World().rollout.plan
    addresses = [DeviceAddress("g", f"d{number}") for number in range(10)]
    lines = dry_run(
        plan, "r-1", [(one, one.device != "d3", NEW if one.device == "d4" else OLD) for one in addresses]
    )
    assert [line for line in lines if line.startswith("stage")] == [
        "stage 1 (canary=2): 2 devices, 2 of 10 in all",
        "stage 2 (50%): 3 devices, 5 of 10 in all",
        "stage 3 (100%): 5 devices, 10 of 10 in all",
    ]
    assert sorted(line.split(":")[0].strip() for line in lines if line.startswith("  ")) == [
        f"g/d{number}" for number in range(10)
    ]
    assert "  g/d3: offline, told when it returns" in lines and "  g/d4: runs it already" in lines
