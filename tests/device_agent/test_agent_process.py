"""The agent as a process of its own against a real broker: what it promises must hold however it ends."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from device_agent.agent_parts import ADDRESS, AgentProcess, Broker, Listener, accepted
from fleet.real_parts import WAIT_S, wait_until

from edgewise_fleet.commanding import ask_device, make_command, sign
from edgewise_fleet.keys import make_key
from edgewise_messages import Command, Outcome
from edgewise_messages.metrics import BY_NAME

WriteConfig = Callable[..., Path]
StartAgent = Callable[[Path], AgentProcess]
BUSY = {"pipeline": {"interval_s": 0.0}, "outbox": {"commit_interval_s": 0.01}}
KILLED = {"protection": {"failures": 0}}
"""Kills during inferences are not to make the model begin later."""
FEWEST_KILLS, MOST_KILLS = 5, 25


def assert_every_record_once(listener: Listener, tmp_path: Path) -> None:
    """What the outbox accepted arrived: numbers 1 to the last without a gap, each of one boot only."""
    count = accepted(tmp_path / "state", tmp_path)
    wait_until(lambda: len(listener.records) >= count, f"all {count} accepted records arrived")
    assert sorted(listener.sequences) == list(range(1, count + 1))


def test_a_device_tells_who_it_is_what_it_sees_and_how_it_is(
    broker: Broker, listener: Listener, write_config: WriteConfig, start_agent: StartAgent
) -> None:
    agent = start_agent(write_config(broker.url))
    listener.wait_for(lambda: len(listener.telemetry()) >= 3, "three reports arrived")
    assert agent.end() == 0
    assert [status.state for status in listener.statuses] == ["online", "stopped"]
    (meta,) = listener.metas
    assert meta.model is not None
    assert (meta.model.name, meta.model.task, meta.model.backend) == (
        "tiny",
        "image-classification",
        "litert",
    )
    assert len(meta.model.sha256) == len(meta.settings_sha256) == 64
    assert {status.boot for status in listener.statuses} == {meta.boot}
    seen = {event.data["input"]: event.data["label"] for event in listener.events("prediction")}
    assert seen == {"a.png": "red", "b.png": "green", "c.png": "blue"}
    last = listener.telemetry()[-1]
    assert set(last) <= set(BY_NAME)
    assert last["model.inferences"] == len(listener.events("prediction"))
    assert last["model.errors"] == last["agent.dropped_records"] == 0
    assert 0 < last["model.invoke_p50_ms"] <= last["model.latency_p95_ms"]
    assert 0.9 < last["model.confidence_mean"] <= 1
    assert last["model.input_pixels"] == 32 * 32
    assert last["agent.pss_bytes"] > 0
    assert meta.power
    assert len(listener.events("agent.started")) == len(listener.events("agent.stopped")) == 1


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_graceful_stop_sends_everything_and_leaves_an_empty_outbox(
    how: signal.Signals,
    broker: Broker,
    listener: Listener,
    write_config: WriteConfig,
    start_agent: StartAgent,
    tmp_path: Path,
) -> None:
    agent = start_agent(write_config(broker.url, **BUSY))
    listener.wait_for_records(500)
    assert agent.end(how) == 0
    assert listener.wait_for_state("stopped").reason == how.name
    assert_every_record_once(listener, tmp_path)
    assert listener.repeats == 0
    assert listener.telemetry()[-1]["model.inferences"] == len(listener.events("prediction"))
    assert not list((tmp_path / "state").glob("*-wal"))


def test_after_kill_9_the_broker_says_offline(
    broker: Broker, listener: Listener, write_config: WriteConfig, start_agent: StartAgent
) -> None:
    agent = start_agent(write_config(broker.url))
    online = listener.wait_for_state("online")
    agent.kill()
    offline = listener.wait_for_state("offline")
    assert offline.boot == online.boot


def test_every_accepted_record_arrives_once_through_repeated_kill_9(
    broker: Broker, listener: Listener, write_config: WriteConfig, start_agent: StartAgent, tmp_path: Path
) -> None:
    config = write_config(broker.url, **BUSY, **KILLED)
    rounds = 0
    # On a busy machine a kill may meet nothing under way: then there are more of them.
    while rounds < FEWEST_KILLS or (listener.repeats == 0 and rounds < MOST_KILLS):
        agent = start_agent(config)
        rounds += 1
        listener.wait_for(lambda number=rounds: len(listener.boots) == number, "this boot reports")
        listener.wait_for(lambda: listener.records_of(listener.boots[-1]) >= 200, "it is in full swing")
        agent.kill()
    last = start_agent(config)
    listener.wait_for(lambda: len(listener.boots) == rounds + 1, "the last boot reports")
    assert last.end() == 0
    assert_every_record_once(listener, tmp_path)
    assert listener.repeats > 0, "the kills must have hit what was under way"


def test_every_accepted_record_arrives_once_through_an_outage(
    broker: Broker, listener: Listener, write_config: WriteConfig, start_agent: StartAgent, tmp_path: Path
) -> None:
    """This broker keeps nothing over a restart, so the agent is held still until the listener is back: what a
    broker has acknowledged and then forgets is the broker's to lose. test_with_fleet.py has one that keeps it.
    """
    agent = start_agent(write_config(broker.url))
    listener.wait_for_records(100)
    broker.stop()
    agent.wait_until_said("next attempt in")
    before = accepted(tmp_path / "state", tmp_path)
    wait_until(
        lambda: accepted(tmp_path / "state", tmp_path) > before + 100, "records gather without a broker"
    )
    agent.process.send_signal(signal.SIGSTOP)
    broker.start()
    listener.wait_for_subscription(2)
    agent.process.send_signal(signal.SIGCONT)
    listener.wait_for(
        lambda: [status.state for status in listener.statuses].count("online") == 2, "it is back"
    )
    assert agent.end() == 0
    assert_every_record_once(listener, tmp_path)


def test_kill_9_during_an_outage_loses_nothing_either(
    broker: Broker, listener: Listener, write_config: WriteConfig, start_agent: StartAgent, tmp_path: Path
) -> None:
    config = write_config(broker.url)
    agent = start_agent(config)
    listener.wait_for_records(50)
    broker.stop()
    before = accepted(tmp_path / "state", tmp_path)
    wait_until(lambda: accepted(tmp_path / "state", tmp_path) > before + 50, "records gather")
    agent.kill()
    broker.start()
    listener.wait_for_subscription(2)
    again = start_agent(config)
    listener.wait_for(lambda: len(listener.events("agent.started")) == 2, "the second boot reports")
    assert again.end() == 0
    assert_every_record_once(listener, tmp_path)


def test_a_refusing_broker_is_one_line_and_the_agent_goes_on(
    write_config: WriteConfig, start_agent: StartAgent, tmp_path: Path
) -> None:
    agent = start_agent(write_config("mqtt://127.0.0.1:1"))
    agent.wait_until_said("connection refused; is a broker running there?; next attempt in")
    wait_until(lambda: accepted(tmp_path / "state", tmp_path) > 50, "records gather")
    assert agent.end() == 0
    assert agent.said.count("connection refused") == 1, "the same warning is not repeated every second"
    assert accepted(tmp_path / "state", tmp_path) > 50


def test_a_second_agent_on_one_state_folder_is_refused(
    broker: Broker, listener: Listener, write_config: WriteConfig, start_agent: StartAgent
) -> None:
    config = write_config(broker.url)
    first = start_agent(config)
    listener.wait_for_state("online")
    second = start_agent(config)
    assert second.wait() == 1
    (line,) = [line for line in second.said.splitlines() if line.startswith("error: ")]
    assert f"another agent (process {first.process.pid}) uses it" in line
    assert first.end() == 0


def test_broken_images_among_good_ones_are_skipped_counted_and_told_at_a_measured_pace(
    broker: Broker, listener: Listener, write_config: WriteConfig, start_agent: StartAgent, photos: Path
) -> None:
    (photos / "broken.png").write_bytes((photos / "a.png").read_bytes()[:60])
    (photos / "empty.jpg").touch()
    (photos / b"n\xffme.jpg".decode(errors="surrogateescape")).write_text("no picture")
    agent = start_agent(write_config(broker.url))
    listener.wait_for(
        lambda: any(report["model.errors"] >= 6 for report in listener.telemetry()), "six errors are counted"
    )
    assert agent.end() == 0
    (event,) = listener.events("input.failed")
    assert event.severity == "warning"
    assert event.data["input"] in ("broken.png", "empty.jpg")
    assert listener.telemetry()[-1]["model.inferences"] > 3


def test_a_source_that_does_not_loop_ends_the_agent(
    broker: Broker, listener: Listener, write_config: WriteConfig, start_agent: StartAgent, tmp_path: Path
) -> None:
    agent = start_agent(write_config(broker.url, pipeline={"loop": False}))
    assert agent.wait() == 0
    assert listener.wait_for_state("stopped").reason == "source ended"
    assert_every_record_once(listener, tmp_path)
    assert len(listener.events("prediction")) == 3


def test_commands_are_answered_once_each(
    broker: Broker, listener: Listener, write_config: WriteConfig, start_agent: StartAgent, tmp_path: Path
) -> None:
    public = make_key(tmp_path / "owner")
    quiet = {
        "report": {"interval_s": 3600.0},
        "pipeline": {"events": "none", "interval_s": 3600.0},
        "commands": {"keys": [str(public)]},
    }
    agent = start_agent(write_config(broker.url, **quiet))
    listener.wait_for(lambda: listener.telemetry(), "the first report arrived")
    report = Command(id="r-1", name="report-now", issued_ms=1)
    listener.command(b"not a command")
    listener.command(Command(id="u-1", name="stop", issued_ms=1))
    listener.command(
        sign(Command(id="e-1", name="stop", issued_ms=1, expires_ms=2), ADDRESS, tmp_path / "owner")
    )
    listener.command(report)
    listener.command(report)
    listener.wait_for(lambda: len(listener.responses) == 4, "four answers")
    told = [(answer.id, answer.outcome) for answer in listener.responses]
    assert told == [
        ("u-1", Outcome.REJECTED), ("e-1", Outcome.REJECTED), ("r-1", Outcome.DONE), ("r-1", Outcome.DONE),
    ]  # fmt: skip
    assert "stop must be signed" in listener.responses[0].message
    assert "expired" in listener.responses[1].message
    assert listener.responses[2] == listener.responses[3], "a repeated command is answered, not done again"
    listener.wait_for(lambda: len(listener.telemetry()) == 2, "the report arrived")
    stop = make_command("stop", {}, address=ADDRESS, key=tmp_path / "owner", command_id="s-1")
    assert ask_device(stop, ADDRESS, broker=broker.url, timeout_s=WAIT_S).outcome == Outcome.DONE
    assert agent.wait() == 0
    assert listener.wait_for_state("stopped").reason == "asked by command s-1"
    assert [answer.id for answer in listener.responses][-1] == "s-1"
    assert len(listener.telemetry()) == 3, "the first, the one asked for, and the one at the end"

    again = start_agent(tmp_path / "agent.toml")
    listener.wait_for(lambda: len(listener.telemetry()) == 4, "it runs again")
    assert ask_device(stop, ADDRESS, broker=broker.url, timeout_s=WAIT_S) == listener.responses[-1]
    listener.command(Command(id="r-2", name="report-now", issued_ms=1))
    listener.wait_for(
        lambda: listener.responses[-1].id == "r-2", "it still answers: it was not stopped again"
    )
    assert again.end() == 0


def test_a_retained_command_is_refused_so_that_it_cannot_stop_every_start(
    broker: Broker, listener: Listener, write_config: WriteConfig, start_agent: StartAgent
) -> None:
    listener.command(Command(id="s-1", name="report-now", issued_ms=1), retain=True)
    agent = start_agent(write_config(broker.url))
    listener.wait_for(lambda: listener.responses, "an answer")
    assert listener.responses[0].outcome == Outcome.REJECTED
    listener.wait_for(lambda: len(listener.telemetry()) > 2, "it goes on")
    assert agent.end() == 0


def test_a_damaged_outbox_is_told_to_the_fleet(
    broker: Broker, listener: Listener, write_config: WriteConfig, start_agent: StartAgent, tmp_path: Path
) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state/outbox.db").write_bytes(b"rubbish" * 1000)
    agent = start_agent(write_config(broker.url))
    listener.wait_for(lambda: listener.events("outbox.replaced"), "the event arrived")
    assert agent.end() == 0
    (event,) = listener.events("outbox.replaced")
    assert event.severity == "error"
    assert "outbox.db.damaged-" in event.message


def test_ctrl_c_before_it_runs_leaves_nothing_behind(
    broker: Broker, listener: Listener, write_config: WriteConfig, start_agent: StartAgent, tmp_path: Path
) -> None:
    agent = start_agent(write_config(broker.url, pipeline={"model": str(tmp_path / "none.tflite")}))
    assert agent.wait() == 1
    assert [line for line in agent.said.splitlines() if line.startswith("error: ") and "none.tflite" in line]
    assert not list((tmp_path / "state").glob("outbox*"))
    assert listener.statuses == []
