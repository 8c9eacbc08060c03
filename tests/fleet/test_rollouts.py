"""Rollouts over a real broker: stand-ins by the hundred, and real agents with real models of a real repository."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet.rollout_parts import BAD, Site, told

CANARIES = 3
STAGES = ("--stages", f"canary={CANARIES},30%,100%", "--hold", "1s")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.end()


@pytest.mark.long
@pytest.mark.parametrize("judges", ["judges", "no-judges"])
def test_each_bad_model_is_halted_at_the_canaries_and_every_stand_in_is_back_on_the_good_one(
    site: Site, judges: str
) -> None:
    """Without judgement of their own the stand-ins leave it to the fleet to see what is wrong."""
    site.serve()
    site.publish_all()
    for name in BAD:
        site.simulate(50, f"--{judges}", group=name, rate=50)
    for name in BAD:
        site.wait_for_devices(50, name)
    good = [site.roll_out("good", "--group", name, "--stages", "100%", "--hold", "1s") for name in BAD]
    for rollout in good:
        site.wait_for(rollout, "done")
    bad = [site.roll_out(name, "--group", name, *STAGES) for name in BAD]
    for name, rollout in zip(BAD, bad, strict=True):
        ended = site.wait_for(rollout, "halted")
        assert told(ended) == CANARIES, name
        assert "stage 1" in ended["rollout"]["reason"]
        assert site.running(name) == {site.sha256("good"): 50}, name


@pytest.mark.long
def test_real_agents_halt_each_bad_model_and_are_back_on_the_good_one(site: Site) -> None:
    site.serve()
    site.publish_all()
    for number in range(2):
        site.start_agent(f"cam-{number}")
    site.wait_for_devices(2, "real")
    one_then_all = ("--group", "real", "--stages", "canary=1,100%", "--hold", "1s", "--max-drift-moved", "0")
    done = site.wait_for(site.roll_out("good", *one_then_all, "--max-slowdown", "20"), "done")
    assert told(done) == 2
    for name in BAD:
        ended = site.wait_for(site.roll_out(name, *one_then_all, "--max-slowdown", "8"), "halted")
        assert told(ended) == 1, name
        assert site.running("real") == {site.sha256("good"): 2}, f"{name}: {ended['rollout']['reason']}"


@pytest.mark.long
def test_a_server_killed_in_the_middle_goes_on_where_it_was(site: Site) -> None:
    server = site.serve()
    site.publish_all()
    site.simulate(60, group="sim", rate=60)
    site.wait_for_devices(60, "sim")
    rollout = site.roll_out("good", "--group", "sim", "--stages", "canary=3,50%,100%", "--hold", "1s")
    kills = 0
    while site.status(rollout)["rollout"].get("phase", "running") == "running" and kills < 4:
        server.end(signal.SIGKILL)
        kills += 1
        server = site.serve()
        site.fleet("rollout", "status", rollout)
    site.wait_for(rollout, "done")
    assert kills >= 3
    assert site.running("sim") == {site.sha256("good"): 60}
    history = site.history(rollout)
    for number in range(60):
        assert history.count(f"sim/sim-{number:02}  told") == 1, "nobody is told twice over"
