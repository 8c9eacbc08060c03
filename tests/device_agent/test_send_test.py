"""`edgewise agent send-test` against a real broker, with and without a running agent."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from device_agent.agent_parts import AgentProcess, Broker, Listener, accepted
from fleet.real_parts import EDGEWISE, WAIT_S

WriteConfig = Callable[..., Path]


def send_test(config: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [EDGEWISE, "agent", "send-test", "--config", str(config), *words],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
    )


def test_without_an_agent_the_event_goes_through_its_outbox_and_leaves_it_empty(
    broker: Broker, listener: Listener, write_config: WriteConfig, tmp_path: Path
) -> None:
    done = send_test(write_config(broker.url))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{broker.url} acknowledged in ")
    assert "not running; its outbox was used" in done.stdout
    listener.wait_for(lambda: listener.events("agent.test"), "the event arrived")
    (event,) = listener.events("agent.test")
    assert f"boot {event.boot}, number {event.seq}" in done.stdout
    assert listener.statuses == [], "a test is no start of the device"
    again = send_test(write_config(broker.url))
    assert "records that had waited" not in again.stdout
    assert accepted(tmp_path / "state", tmp_path) == 2


def test_what_waited_in_the_outbox_is_sent_before_it(
    broker: Broker, listener: Listener, write_config: WriteConfig, start_agent: Callable[[Path], AgentProcess],
    tmp_path: Path,
) -> None:  # fmt: skip
    agent = start_agent(write_config())  # nobody listens there
    listener.wait_for(lambda: (tmp_path / "state/outbox.db").exists(), "it has an outbox")
    agent.wait_until_said("next attempt in")
    assert agent.end() == 0
    waiting = accepted(tmp_path / "state", tmp_path)
    assert waiting > 2
    done = send_test(write_config(broker.url))
    assert done.returncode == 0, done.stderr
    assert f"{waiting} records that had waited in it were sent" in done.stdout
    listener.wait_for(lambda: len(listener.records) == waiting + 1, "all of them arrived")


def test_beside_a_running_agent_it_disturbs_nothing(
    broker: Broker, listener: Listener, write_config: WriteConfig, start_agent: Callable[[Path], AgentProcess]
) -> None:
    config = write_config(broker.url)
    agent = start_agent(config)
    listener.wait_for_state("online")
    listener.wait_for_records(5)
    done = send_test(config)
    assert done.returncode == 0, done.stderr
    assert "running; the test had an outbox of its own" in done.stdout
    listener.wait_for(lambda: listener.events("agent.test"), "the event arrived")
    (event,) = listener.events("agent.test")
    assert event.boot != listener.metas[0].boot
    so_far = len(listener.records)
    listener.wait_for_records(so_far + 5)
    assert [status.state for status in listener.statuses] == ["online"], "it was not thrown out"
    assert agent.end() == 0


def test_a_broker_that_is_not_there_or_refuses_is_told(broker: Broker, write_config: WriteConfig) -> None:
    gone = send_test(write_config("mqtt://127.0.0.1:1"))
    assert gone.returncode == 1
    assert gone.stderr == "error: broker mqtt://127.0.0.1:1: connection refused; is a broker running there?\n"
    broker.stop()
    broker.start("allow_anonymous false")
    refused = send_test(write_config(broker.url))
    assert refused.returncode == 1
    assert "refused the connection" in refused.stderr
    wrong = send_test(write_config(broker.url, report={"interval": 3}))
    assert wrong.returncode == 1
    assert "did you mean 'interval_s'?" in wrong.stderr
