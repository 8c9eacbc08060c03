from device_agent.agent_parts import FakeTime

from edgewise_agent.connection.broker_choice import NEARER_ROUNDS, BrokerChoice
from edgewise_agent.connection.broker_url import BrokerUrl

A, B, C = (BrokerUrl(f"mqtt://{name}") for name in "abc")


def choice_of(time: FakeTime) -> BrokerChoice:
    return BrokerChoice([A, B, C], key="device", now_s=time.now_s)


def test_the_nearest_comes_first_and_unmeasured_ones_in_the_order_given() -> None:
    choice = choice_of(FakeTime())
    assert choice.order() == [A, B, C]
    assert not choice.is_measured
    for url, ms in ((A, 90.0), (B, 20.0), (C, 50.0)):
        choice.measured(url, ms)
    assert choice.order() == [B, C, A]
    assert choice.is_measured


def test_a_failed_one_is_skipped_until_its_time_has_passed_and_longer_each_time() -> None:
    time = FakeTime()
    choice = choice_of(time)
    for url, ms in ((A, 1.0), (B, 20.0), (C, 50.0)):
        choice.measured(url, ms)
    waits = []
    for _ in range(9):
        choice.failed(A)
        before_s = time.mono_s
        while choice.order()[0] != A:
            assert choice.order() == [B, C]
            time.pass_s(0.5)
        waits.append(time.mono_s - before_s)
    assert waits[0] <= 5.5
    assert 150 <= waits[-1] <= 300.5


def test_when_all_failed_there_is_still_one_to_try() -> None:
    choice = choice_of(FakeTime())
    for url in (A, B, C):
        choice.failed(url)
    assert len(choice.order()) == 1


def test_a_working_broker_is_left_only_for_one_that_is_clearly_nearer_several_times_in_a_row() -> None:
    choice = choice_of(FakeTime())
    choice.measured(A, 100.0)
    choice.chosen(A)
    choice.measured(B, 80.0)
    assert [choice.nearer() for _ in range(9)] == [None] * 9, "a fifth is not clearly nearer"
    choice.measured(C, 40.0)
    assert [choice.nearer() for _ in range(NEARER_ROUNDS)] == [None] * (NEARER_ROUNDS - 1) + [C]
    choice.leave_for(C)
    assert choice.order()[0] == C
    choice.chosen(C)
    assert [choice.nearer() for _ in range(9)] == [None] * 9, "and there it stays"


def test_small_differences_in_a_fast_network_move_nobody() -> None:
    choice = choice_of(FakeTime())
    choice.measured(A, 4.0)
    choice.chosen(A)
    choice.measured(B, 0.5)
    assert [choice.nearer() for _ in range(9)] == [None] * 9


def test_noise_moves_nobody() -> None:
    choice = choice_of(FakeTime())
    choice.measured(A, 50.0)
    choice.chosen(A)
    choice.measured(B, 50.0)
    moves = []
    for number in range(60):
        choice.measured(B, 20.0 if number % 3 == 0 else 60.0)
        choice.measured(A, 50.0)
        moves.append(choice.nearer())
    assert moves == [None] * 60
