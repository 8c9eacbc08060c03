"""A real agent process, a real broker, a real repository: updates and settings from afar."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from device_agent.agent_parts import ADDRESS, AgentProcess, Broker, Listener
from device_agent.update_parts import TARGET, Owner, good_model, lying_model
from fleet.real_parts import WAIT_S, wait_until

from edgewise_fleet.commanding import ask_device, make_command
from edgewise_fleet.keys import make_key
from edgewise_messages import Response

WriteConfig = Callable[..., Path]
StartAgent = Callable[[Path], AgentProcess]


class Site:
    """A device and its owner."""

    def __init__(self, folder: Path, broker: Broker, write_config: WriteConfig) -> None:
        self.owner = Owner(folder / "owner")
        self.key = folder / "key"
        self._broker = broker
        self._changes = {
            "commands": {"keys": [str(make_key(self.key))]},
            "updates": {
                "repository": str(self.owner.place),
                "root_file": str(self.owner.repository.root_file),
                "target": TARGET,
                "poll_s": 1.0,
                "shadow_inputs": 10,
                "watch_inputs": 10,
                "watch_s": 0.5,
                "max_slowdown": 1000.0,
            },
        }
        self._write = write_config

    def config(
        self,
        *,
        pipeline: Mapping[str, object] | None = None,
        protection: Mapping[str, object] | None = None,
        **updates: object,
    ) -> Path:
        changes = {**self._changes, "updates": {**self._changes["updates"], **updates}}
        pipeline = {"interval_s": 0.02, **(pipeline or {})}
        return self._write(self._broker.url, pipeline=pipeline, protection=dict(protection or {}), **changes)

    def ask(self, name: str, /, **arguments: object) -> Response:
        given = {key.replace("__", "."): value for key, value in arguments.items()}
        command = make_command(name, given, address=ADDRESS, key=self.key)
        return ask_device(command, ADDRESS, broker=self._broker.url, timeout_s=WAIT_S)


@pytest.fixture
def site(tmp_path: Path, broker: Broker, write_config: WriteConfig) -> Site:
    return Site(tmp_path, broker, write_config)


def test_an_agent_follows_its_repository_refuses_a_liar_and_goes_back_by_command(
    site: Site, listener: Listener, start_agent: StartAgent, tmp_path: Path
) -> None:
    site.owner.publish(good_model(tmp_path / "one.tflite", "one"))
    agent = start_agent(site.config())
    listener.wait_for(lambda: listener.events("update.confirmed"), "version 1 is confirmed")
    site.owner.publish(lying_model(tmp_path / "two.tflite"))
    listener.wait_for(lambda: listener.events("update.rejected"), "the liar is rejected")
    assert "does not give its promised answers" in listener.events("update.rejected")[0].message
    assert site.ask("rollback").outcome == "done"
    assert [event.data["version"] for event in listener.events("update.switched")] == [1]
    assert agent.end() == 0
    again = start_agent(tmp_path / "agent.toml")
    listener.wait_for(lambda: len(listener.events("agent.started")) == 2, "it starts again")
    assert listener.events("agent.started")[1].data["model"] == "tiny"
    assert again.end() == 0


def test_an_agent_that_is_killed_during_the_watch_comes_back_with_the_model_before(
    site: Site, listener: Listener, start_agent: StartAgent, tmp_path: Path
) -> None:
    site.owner.publish(good_model(tmp_path / "one.tflite", "one"))
    agent = start_agent(site.config(watch_s=3600.0))
    listener.wait_for(lambda: listener.events("update.switched"), "it is switched to")
    agent.kill()
    again = start_agent(tmp_path / "agent.toml")
    (event,) = listener.wait_for(lambda: listener.events("update.recovered"), "it says what it did")
    assert event.message.endswith("was taken back: the agent died while it was watched")
    assert again.end() == 0


def test_new_settings_are_kept_when_the_broker_is_reached_and_undone_when_not(
    site: Site, listener: Listener, start_agent: StartAgent, tmp_path: Path
) -> None:
    agent = start_agent(site.config())
    listener.wait_for(lambda: listener.telemetry(), "it reports")
    assert site.ask("set-settings", report__interval_s=0.25).outcome == "done"
    listener.wait_for(lambda: listener.events("settings.confirmed"), "the new ones are kept")
    refused = site.ask("set-settings", commands__keys='["evil.pub"]')
    assert (refused.outcome, "on the device only" in refused.message) == ("rejected", True)
    wrong = site.ask("set-settings", broker__url="mqtt://127.0.0.1:1", connect_within_s=2)
    assert wrong.outcome == "done", wrong.message
    (event,) = listener.wait_for(lambda: listener.events("settings.undone"), "the old ones are back")
    assert "the broker was not reached within 2 s" in event.message
    text = (tmp_path / "state/settings/agent.toml").read_text()
    assert "interval_s = 0.25" in text and "127.0.0.1:1\n" not in text
    missing = site.ask("set-settings", pipelines__main__model="none.tflite")
    assert missing.outcome == "done", missing.message
    listener.wait_for(lambda: len(listener.events("settings.undone")) == 2, "they are back again")
    assert "could not begin" in listener.events("settings.undone")[1].message
    wait_until(lambda: site.ask("report-now").outcome == "done", "it answers")
    assert agent.end() == 0
