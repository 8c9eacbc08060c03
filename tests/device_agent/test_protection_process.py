"""Real agents whose real model hangs or is killed inside the runtime: they end on a working model by themselves."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from device_agent.agent_parts import AgentProcess, Broker, Listener
from device_agent.hanging_files import write_looping_model
from device_agent.test_agent_updates import Site
from device_agent.update_parts import TARGET, good_model
from fleet.real_parts import WAIT_S, wait_until

from edgewise_agent.protection.marker import marker_path

WriteConfig = Callable[..., Path]
StartAgent = Callable[[Path], AgentProcess]
SLOW = 1e6
"""Turns of about half a second, in which a signal surely arrives."""
BUSY = b"\x01"
"""What a marker says."""
LOOPING = TARGET.replace(".tflite", ".onnx")


@pytest.fixture
def site(tmp_path: Path, broker: Broker, write_config: WriteConfig) -> Site:
    return Site(tmp_path, broker, write_config)


def config_of(
    site: Site, *, model: Path | None = None, hang_s: float = 3.0, failures: int = 2, **updates: object
) -> Path:
    more = {"model": str(model)} if model else {}
    return site.config(pipeline=more, protection={"hang_s": hang_s, "failures": failures}, **updates)


def test_an_update_that_hangs_in_its_watch_is_taken_back_by_a_restart(
    site: Site, listener: Listener, start_agent: StartAgent, tmp_path: Path
) -> None:
    site.owner.publish(write_looping_model(tmp_path / "loop.onnx", "loop"), target=LOOPING)
    agent = start_agent(config_of(site, target=LOOPING, shadow_inputs=0, stuck_s=1.0, hang_s=60.0))
    listener.wait_for(lambda: listener.events("model.hung"), "the hang is told")
    pid = agent.process.pid
    listener.wait_for(lambda: len(listener.events("agent.started")) == 2, "it starts again")
    assert listener.events("agent.started")[1].data["model"] == "tiny"
    (event,) = listener.events("update.rolled-back")
    assert "it has been at one input for" in event.message
    assert agent.process.pid == pid and agent.process.poll() is None
    wait_until(lambda: site.ask("report-now").outcome == "done", "it answers")
    seen = len(listener.events("prediction"))
    listener.wait_for(lambda: len(listener.events("prediction")) > seen + 5, "it works")
    assert agent.end() == 0


@pytest.mark.long
def test_a_candidate_that_hangs_beside_the_current_model_is_rejected(
    site: Site, listener: Listener, start_agent: StartAgent, tmp_path: Path
) -> None:
    site.owner.publish(write_looping_model(tmp_path / "loop.onnx", "loop"), target=LOOPING)
    agent = start_agent(config_of(site, target=LOOPING, stuck_s=1.0, hang_s=60.0))
    (event,) = listener.wait_for(lambda: listener.events("model.hung"), "the hang is told")
    assert "the candidate of main took more than 1 s: it is rejected" in event.message
    listener.wait_for(lambda: len(listener.events("agent.started")) == 2, "it starts again")
    (event,) = listener.wait_for(lambda: listener.events("update.refused"), "it is left alone from now on")
    assert "rejected before: one inference of the candidate" in event.message
    assert listener.events("update.switched") == []
    assert agent.end() == 0


@pytest.mark.long
def test_a_model_that_hangs_again_and_again_is_stopped_and_an_update_brings_the_pipeline_back(
    site: Site, listener: Listener, start_agent: StartAgent, tmp_path: Path
) -> None:
    """The factory model: there is none before it. The agent stays to be spoken to."""
    factory = write_looping_model(tmp_path / "factory.onnx", "factory")
    agent = start_agent(config_of(site, model=factory, hang_s=1.0))
    (event,) = listener.wait_for(lambda: listener.events("pipeline.stopped"), "the pipeline is stopped")
    assert "factory.onnx failed 2 times in a row (one inference of main took more than 1 s)" in event.message
    assert len(listener.events("model.hung")) == 2 and len(listener.events("model.failed")) == 1
    wait_until(lambda: site.ask("report-now").outcome == "done", "it answers")
    seen = len(listener.telemetry())
    listener.wait_for(lambda: len(listener.telemetry()) > seen + 2, "it reports")
    site.owner.publish(good_model(tmp_path / "one.tflite", "one"))
    listener.wait_for(lambda: listener.events("update.confirmed"), "the update runs")
    assert listener.events("agent.started")[-1].data["model"] == "one"
    assert agent.process.poll() is None and agent.end() == 0


@pytest.mark.long
def test_a_confirmed_model_that_crashes_later_gives_way_to_the_one_before(
    site: Site, listener: Listener, start_agent: StartAgent, tmp_path: Path
) -> None:
    """SIGSEGV while the runtime is inside an inference, each time at the same picture."""
    site.owner.publish(write_looping_model(tmp_path / "one.onnx", "one", turns=1), target=LOOPING)
    agent = start_agent(config_of(site, target=LOOPING, hang_s=60.0))
    listener.wait_for(lambda: listener.events("update.confirmed"), "version 1 is confirmed")
    # Slow at blue pictures only, of which there is one in three: the median is that of the others.
    site.owner.publish(write_looping_model(tmp_path / "two.onnx", "two", turns=SLOW), target=LOOPING)
    listener.wait_for(lambda: len(listener.events("update.confirmed")) == 2, "version 2 is confirmed")
    for number in range(2):
        kill_inside(agent, tmp_path / "state")
        agent = start_agent(tmp_path / "agent.toml")
        listener.wait_for(lambda: len(listener.events("agent.started")) == number + 2, "it starts again")  # noqa: B023
    assert listener.events("agent.started")[-1].data["model"] == "one"
    (event,) = listener.wait_for(lambda: listener.events("update.recovered"), "it says why")
    assert (
        "failed 2 times in a row: the agent died of a Segmentation fault during an inference" in event.message
    )
    assert agent.end() == 0


@pytest.mark.long
def test_an_agent_inside_a_hang_still_stops_and_starts_again_in_order(
    site: Site, listener: Listener, start_agent: StartAgent, tmp_path: Path
) -> None:
    factory = write_looping_model(tmp_path / "factory.onnx", "factory")
    agent = start_agent(config_of(site, model=factory, hang_s=0.0))
    place = marker_path(tmp_path / "state", "main", {})
    assert place is not None
    wait_until(lambda: listener.telemetry() and place.read_bytes() == BUSY, "it hangs")
    assert site.ask("restart").outcome == "done"
    listener.wait_for(lambda: len(listener.events("agent.started")) == 2, "it starts again")
    wait_until(lambda: place.read_bytes() == BUSY, "it hangs again")
    assert agent.end() == 0
    assert "left behind" in agent.said


def kill_inside(agent: AgentProcess, state: Path) -> None:
    """A signal as a broken runtime gets it, in the middle of a long inference."""
    path = marker_path(state, "main", {})
    assert path is not None
    begun_s = time.monotonic()
    give_up_s = begun_s + WAIT_S
    while time.monotonic() - begun_s < 0.3:
        if path.read_bytes() != BUSY:
            begun_s = time.monotonic()
        assert begun_s < give_up_s, "a long inference is at hand"
        time.sleep(0.002)
    assert agent.end(signal.SIGSEGV) == -signal.SIGSEGV
    assert path.read_bytes() == BUSY
