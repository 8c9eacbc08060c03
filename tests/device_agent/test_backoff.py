from edgewise_agent.backoff import Backoff, phase


def test_waits_stay_below_a_doubling_ceiling_and_below_the_longest() -> None:
    backoff = Backoff("device", longest_s=20.0)
    waits = [backoff.next_wait_s() for _ in range(40)]
    assert all(0 < wait <= max(min(20.0, 2.0**number), 0.1) for number, wait in enumerate(waits))
    assert max(waits) > 10, "the later waits must spread over the whole range"


def test_devices_do_not_wait_in_step() -> None:
    waits = [Backoff(f"device-{number}", longest_s=60.0).next_wait_s() for number in range(50)]
    assert len({round(wait, 4) for wait in waits}) > 40


def test_only_a_stable_connection_shortens_the_waits_again() -> None:
    backoff = Backoff("device", longest_s=3600.0, stable_s=60.0)
    for _ in range(12):
        backoff.next_wait_s()
    backoff.connection_ended(59.9)
    assert max(backoff.next_wait_s() for _ in range(5)) > 2
    backoff.connection_ended(60.0)
    assert backoff.next_wait_s() <= 1.0


def test_a_device_has_the_same_place_in_an_interval_every_time() -> None:
    places = [phase(f"device-{number}", 10.0) for number in range(100)]
    assert places == [phase(f"device-{number}", 10.0) for number in range(100)]
    assert all(0 <= place < 10 for place in places)
    assert min(places) < 2 and max(places) > 8
