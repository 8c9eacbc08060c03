"""The sentence: for each cause a series as a device reports it, and none where nothing changed."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgewise_agent.clock import SystemClock
from edgewise_agent.diagnosis import LatencyWatch
from edgewise_agent.diagnosis.level import (
    FALSE_ALARM,
    FAST,
    MOST_BASELINE,
    SLOW,
    LevelWatch,
    Turn,
    exceedance,
    least_for,
    rank_for,
    rose,
)
from edgewise_agent.diagnosis.wording import when
from edgewise_agent.outbox.outbox import Outbox
from edgewise_agent.recorder import Recorder
from edgewise_messages import decode_records, join_encoded

EVERY_S = 10.0
NOON_MS = 1_795_953_600_000
CALM = 60
Report = dict[str, float]
Change = Callable[[int], Report]


class Device:
    """Reports every ten seconds of a clock that the test moves."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.chance = random.Random(7)
        self.now_s = 1000.0
        self.start_ms = NOON_MS
        self.outbox = Outbox(folder / "outbox.db", max_bytes=1024 * 1024)
        recorder = Recorder(self.outbox, SystemClock(), boot="b1")
        self.watch = LatencyWatch(recorder, now_s=lambda: self.now_s, now_ms=self.now_ms, **options)

    def now_ms(self) -> int:
        return self.start_ms + round(1000 * (self.now_s - 1000.0))

    def calm(self) -> Report:
        return {
            "model.latency_p95_ms": 30 * self.chance.lognormvariate(0, 0.1),
            "board.temperature_c": 60 + self.chance.gauss(0, 1),
            "board.throttled_now": 0,
            "board.throttled_since_boot": 0,
            "board.cpu_frequency_mhz": 1500 + self.chance.gauss(0, 10),
            "board.cpu_others_percent": 8 + self.chance.gauss(0, 2),
            "board.memory_pressure_percent": abs(self.chance.gauss(0, 0.2)),
            "board.swap_used_bytes": 10e6,
            "model.input_pixels": 2e6,
            "drift.moved": 0,
        }

    def report(self, change: Report | None = None) -> str | None:
        self.now_s += EVERY_S
        return self.watch.see({**self.calm(), **(change or {})})

    def until_told(self, change: Change, most: int = 30) -> str:
        for number in range(most):
            told = self.report(change(number))
            if told:
                return told
        pytest.fail("nothing was told")

    def stay_calm(self, reports: int = CALM) -> None:
        assert [told for told in (self.report() for _ in range(reports)) if told] == []

    def events(self) -> list[Any]:
        self.outbox.commit()
        return [
            record
            for batch in self.outbox.lease()
            for record in decode_records(join_encoded(list(batch.bodies))).records
        ]


@pytest.fixture
def make(tmp_path: Path) -> Any:
    devices: list[Device] = []

    def one(**options: Any) -> Device:
        devices.append(Device(tmp_path, **options))
        return devices[-1]

    yield one
    for device in devices:
        device.outbox.close()


def slow(**others: float) -> Change:
    return lambda number: {"model.latency_p95_ms": 61.0 + number % 3, **others}


CAUSES = {
    "under-voltage throttling": slow(**{"board.throttled_now": 5, "board.throttled_since_boot": 5}),
    "throttling by heat at 8": slow(
        **{"board.throttled_now": 12, "board.throttled_since_boot": 12, "board.temperature_c": 84.0}
    ),
    "a fall of the processor's clock from 1": slow(**{"board.cpu_frequency_mhz": 600}),
    "other programs, which take 70 % of the processor (before ": slow(**{"board.cpu_others_percent": 70}),
    "a shortage of memory, for which tasks wait 30 %": slow(**{"board.memory_pressure_percent": 30}),
    "a shortage of memory, of which 86 MiB": slow(**{"board.swap_used_bytes": 90e6}),
    "larger inputs of 12 instead of 2 megapixels": slow(**{"model.input_pixels": 12e6}),
    "drift of the inputs": slow(**{"drift.moved": 2}),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_each_cause_is_told_with_its_time_and_a_remedy(make: Any, cause: str) -> None:
    device = make()
    device.stay_calm()
    began_s = device.now_s + EVERY_S
    told = device.until_told(CAUSES[cause])
    expected = when(began_s, now_s=device.now_s, now_ms=device.now_ms())
    assert told.startswith("p95 doubled, from ")
    assert f"because of {cause}" in told
    assert expected in told
    (event,) = device.events()
    assert (event.name, event.severity.value, event.message) == ("latency.rose", "warning", told)
    assert event.data["cause"] in told
    assert event.data["remedy"] in told
    assert abs(event.data["since_ms"] - (device.now_ms() - (device.now_s - began_s) * 1000)) < 1
    assert "also" not in told


def test_a_rise_without_a_cause_says_so_and_what_was_looked_at(make: Any) -> None:
    device = make()
    device.stay_calm()
    told = device.until_told(slow())
    assert "no cause was seen: as before are under-voltage" in told
    assert "because" not in told
    (event,) = device.events()
    assert event.data["cause"] is None


def test_what_a_device_does_not_report_is_said_to_be_unknown(make: Any) -> None:
    device = make()
    silent = {"board.throttled_now", "board.throttled_since_boot", "model.input_pixels"}

    def without(change: Report) -> str | None:
        device.now_s += EVERY_S
        report = {name: value for name, value in {**device.calm(), **change}.items() if name not in silent}
        told: str | None = device.watch.see(report)
        return told

    assert not any(without({}) for _ in range(CALM))
    (told,) = [told for told in (without({"model.latency_p95_ms": 90.0}) for _ in range(8)) if told]
    assert told.startswith("p95 tripled")
    assert "this device does not tell of under-voltage, throttling by heat and the size of inputs" in told


@pytest.mark.parametrize(
    "always",
    [
        {"board.throttled_now": 1, "board.throttled_since_boot": 1},
        {"board.throttled_since_boot": 15},
        {"board.cpu_others_percent": 90},
        {"board.cpu_frequency_mhz": 600},
        {"board.memory_pressure_percent": 40},
        {"drift.moved": 3},
    ],
)
def test_what_was_so_all_along_is_no_cause(make: Any, always: Report) -> None:
    device = make()
    for _ in range(CALM):
        assert device.report(always) is None
    told = device.until_told(lambda number: {**always, "model.latency_p95_ms": 70.0})
    assert "no cause was seen" in told


def test_a_bit_that_flickers_all_along_is_no_cause(make: Any) -> None:
    device = make()
    for number in range(CALM):
        assert device.report({"board.throttled_now": number % 2, "board.throttled_since_boot": 1}) is None
    told = device.until_told(
        lambda number: {
            "model.latency_p95_ms": 70.0,
            "board.throttled_now": int(number % 3 > 0),
            "board.throttled_since_boot": 1,
        }
    )
    assert "no cause was seen" in told


def test_a_short_under_voltage_shows_in_the_bits_since_boot(make: Any) -> None:
    device = make()
    device.stay_calm()
    told = device.until_told(slow(**{"board.throttled_since_boot": 1}))
    assert "because of under-voltage throttling since" in told


def test_a_cause_that_came_shortly_before_is_found_with_its_own_time(make: Any) -> None:
    device = make()
    device.stay_calm()
    began_s = device.now_s + EVERY_S
    hot = {"board.throttled_now": 8, "board.throttled_since_boot": 8, "board.temperature_c": 83.0}
    assert device.report(hot) is None
    assert device.report(hot) is None
    told = device.until_told(slow(**hot))
    assert "throttling by heat at 83 °C" in told
    assert when(began_s, now_s=device.now_s, now_ms=device.now_ms()) in told


def test_several_changes_are_all_told(make: Any) -> None:
    device = make()
    device.stay_calm()
    told = device.until_told(
        slow(**{"board.throttled_now": 5, "board.throttled_since_boot": 5, "board.cpu_frequency_mhz": 600})
    )
    assert "because of under-voltage throttling" in told
    assert "; also a fall of the processor's clock" in told


def test_another_model_is_the_cause_and_its_level_the_new_one(make: Any) -> None:
    device = make(pipeline="door")
    device.stay_calm()
    device.watch.model_changed("lite0 was replaced by lite4")
    told = device.until_told(slow())
    assert told.startswith("door: p95 doubled")
    assert "because of a change of model: lite0 was replaced by lite4 since" in told
    for number in range(CALM):
        assert device.report({"model.latency_p95_ms": 61.0 + number % 3}) is None


def test_normal_again_is_told_once_after_hysteresis(make: Any) -> None:
    device = make()
    device.stay_calm()
    device.until_told(slow())
    for _ in range(20):
        assert device.report({"model.latency_p95_ms": 42.0}) is None, (
            "below the mark of a rise, above that of normal"
        )
    told = device.until_told(lambda number: {"model.latency_p95_ms": 30.0})
    assert told.startswith("p95 is 30 ms again after ")
    assert [event.name for event in device.events()] == ["latency.rose", "latency.normal"]
    device.stay_calm()


def test_a_promise_of_the_card_stands_in_until_enough_was_seen(make: Any) -> None:
    device = make(promise_ms=12.0)
    told = device.until_told(lambda number: {}, most=FAST)
    assert told.startswith("p95 is 2.")
    assert "times what the model's card promises" in told
    assert "because" not in told


def test_a_clock_that_was_never_set_gives_no_time_of_day(make: Any) -> None:
    device = make()
    device.start_ms = 5_000
    device.stay_calm()
    told = device.until_told(slow(**{"board.cpu_others_percent": 70}))
    assert " for 1 min;" in told
    assert "since" not in told


def test_reports_without_an_inference_are_no_level(make: Any) -> None:
    device = make()
    device.stay_calm()
    for _ in range(20):
        device.now_s += EVERY_S
        assert device.watch.see({"board.throttled_now": 5}) is None


@pytest.mark.parametrize("spikes", [1, 2])
def test_single_spikes_are_no_rise_and_hide_none(spikes: int) -> None:
    watch = LevelWatch()
    for number in range(MOST_BASELINE + FAST):
        value = 500.0 if number % 20 == 10 and number // 20 < spikes else 30.0
        assert watch.see(value, at_s=number) is None
    turns = [watch.see(70.0, at_s=1000.0 + number) for number in range(FAST)]
    assert [turn.turn for turn in turns if turn] == [Turn.ROSE]


def test_a_rise_below_the_ratio_is_left_alone() -> None:
    watch = LevelWatch()
    for number in range(80):
        assert watch.see(30.0 if number < 60 else 44.0, at_s=number) is None


def test_the_law_of_exceedances_is_what_draws_show() -> None:
    chance = random.Random(3)
    rounds, beyond = 20_000, 0
    for _ in range(rounds):
        former = sorted(chance.random() for _ in range(12))
        beyond += sum(chance.random() > former[-3] for _ in range(6)) >= 4
    expected = exceedance(12, 3, 6, 4)
    # Four standard errors of a binomial count.
    assert abs(beyond / rounds - expected) < 4 * (expected * (1 - expected) / rounds) ** 0.5


def test_the_marks_keep_the_bound_and_need_enough_values() -> None:
    assert rank_for(10) == 0
    assert not rose([1.0] * 10, [9.0] * FAST)
    assert rose([1.0] * 60, [9.0] * FAST)
    for former in (28, 40, 60):
        assert rank_for(former) >= 1
        assert exceedance(former, rank_for(former), FAST, FAST) <= FALSE_ALARM / 2
        assert exceedance(former, former // 4, SLOW, least_for(former)) <= FALSE_ALARM / 2
        assert exceedance(former, former // 4, SLOW, least_for(former) - 1) > FALSE_ALARM / 2


def test_a_rise_in_a_very_noisy_series_is_seen_in_the_longer_window() -> None:
    chance = random.Random(2)
    watch = LevelWatch()
    values = [30 * chance.lognormvariate(0, 0.4) * (1.0 if number < 100 else 2.5) for number in range(160)]
    turns = [watch.see(value, at_s=float(number)) for number, value in enumerate(values)]
    (place,) = [number for number, turn in enumerate(turns) if turn]
    assert 100 <= place < 140


def test_steady_noise_hardly_ever_raises_an_alarm() -> None:
    # By the bound 0.2 alarms are expected in all, and three would be a chance of one in a thousand.
    chance = random.Random(1)
    shapes = (lambda: chance.lognormvariate(3, 0.4), lambda: 30 + chance.expovariate(0.05))
    alarms = 0
    for shape in shapes:
        watch = LevelWatch()
        for number in range(10_000):
            level = watch.see(shape(), at_s=number)
            alarms += level is not None and level.turn is Turn.ROSE
    assert alarms < 3


def test_in_two_hundred_rises_on_a_restless_device_no_cause_is_invented(make: Any) -> None:
    # A governor that jumps between two clocks, other programs that come and go, a warm board: all as ever.
    device = make()
    chance = random.Random(11)
    told = []

    def restless(latency_ms: float) -> Report:
        return {
            "model.latency_p95_ms": latency_ms * chance.lognormvariate(0, 0.1),
            "board.cpu_frequency_mhz": chance.choice((600.0, 1500.0)),
            "board.cpu_others_percent": min(100.0, chance.expovariate(1 / 25)),
            "board.memory_pressure_percent": chance.expovariate(1 / 10) if chance.random() < 0.2 else 0.0,
            "board.swap_used_bytes": chance.uniform(0, 80e6),
            "board.temperature_c": chance.uniform(70, 84),
            "board.throttled_now": 4 if chance.random() < 0.3 else 0,
            "board.throttled_since_boot": 4,
            "model.input_pixels": chance.choice((1e6, 2e6)),
            "drift.moved": float(chance.random() < 0.5),
        }

    for _ in range(200):
        told += [text for text in (device.report(restless(30.0)) for _ in range(CALM)) if text]
        told += [text for text in (device.report(restless(75.0)) for _ in range(FAST + 2)) if text]
        device.watch._level.restart()
    rises = [text for text in told if "again after" not in text]
    assert len(rises) >= 195
    assert [text for text in rises if "because" in text] == []
