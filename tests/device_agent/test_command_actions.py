"""Commands through the desk to what they change, with real files, models and repositories."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from device_agent.agent_parts import ADDRESS
from device_agent.update_parts import TARGET, Device, Owner, good_model, settings_for, write_photos

from edgewise.testing import write_tiny_model
from edgewise_agent.clock import SystemClock
from edgewise_agent.commands.actions import CommandActions
from edgewise_agent.commands.desk import CommandDesk
from edgewise_agent.commands.guard import CommandGuard
from edgewise_agent.commands.settings import CommandSettings
from edgewise_agent.settings.change import SettingsChange
from edgewise_agent.settings.trial import SettingsTrial
from edgewise_agent.settings.working_copy import WorkingCopy
from edgewise_fleet.commanding import make_command
from edgewise_fleet.keys import make_key
from edgewise_messages import Command, Outcome, Severity, decode_notice, encode_notice

SETTINGS = """\
device = {id = "cam-1", state_dir = "state"}
pipelines.main = {model = "m.tflite", source = "photos"}
broker = {url = "mqtt://one"}
"""


class Agent:
    """A desk with everything it can change."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.restarts: list[str] = []
        self.owner = Owner(folder / "owner")
        self.device = Device(
            folder / "state",
            settings_for(self.owner, target=""),
            write_tiny_model(folder / "factory.tflite"),
            write_photos(folder / "photos"),
        )
        self.device.start()
        self.file = folder / "agent.toml"
        self.file.write_text(SETTINGS)
        copy = WorkingCopy(self.file, folder / "state")
        self.copy = copy.file
        settings = CommandSettings(keys=(make_key(folder / "key"),))
        actions = CommandActions(
            settings,
            change=SettingsChange(copy),
            updates={"door": self.device.manager},
            restart=self.restarts.append,
        )
        clock = SystemClock()
        guard = CommandGuard(settings, address=ADDRESS, memory_file=folder / "commands.json", clock=clock)
        self.desk = CommandDesk(
            actions.actions(), parse=lambda data: decode_notice(data, Command), clock=clock, guard=guard
        )

    def ask(self, name: str, /, **arguments: object) -> tuple[Outcome, str]:
        command = make_command(
            name, {key.replace("__", "."): value for key, value in arguments.items()},
            address=ADDRESS, key=self.folder / "key",
        )  # fmt: skip
        response = self.desk.handle(encode_notice(command), retained=False)
        assert response is not None
        return response.outcome, response.message


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    made = Agent(tmp_path)
    yield made
    made.device.live.close()


def test_a_model_is_set_and_taken_back_by_command(agent: Agent, tmp_path: Path) -> None:
    agent.owner.publish(good_model(tmp_path / "one.tflite", "one"))
    agent.device.settle()
    assert agent.device.events == [], "it follows nothing by itself"
    assert agent.ask("set-model", target=TARGET)[0] is Outcome.DONE
    assert agent.device.settle().version == 1
    assert agent.ask("rollback", pipeline="door")[0] is Outcome.DONE
    assert agent.device.live.path == tmp_path / "factory.tflite"
    assert agent.ask("rollback") == (Outcome.REJECTED, "the factory model runs; there is none before it")
    assert agent.ask("set-model", target="") == (Outcome.DONE, "follows nothing again")


def test_a_pipeline_that_there_is_not_is_named(agent: Agent) -> None:
    outcome, message = agent.ask("set-model", target=TARGET, pipeline="window")
    assert outcome is Outcome.REJECTED
    assert message == "argument 'pipeline': got 'window'; pipelines that are updated: door"


def test_new_settings_are_put_in_place_on_trial_and_the_agent_restarts(agent: Agent) -> None:
    outcome, message = agent.ask("set-settings", broker__url="mqtt://two", connect_within_s=7)
    assert (outcome, message) == (Outcome.DONE, "in place; undone unless the broker is reached within 7 s")
    assert 'url = "mqtt://two"' in agent.copy.read_text()
    (reason,) = agent.restarts
    assert reason.startswith("new settings by command")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "nothing to change"),
        ({"broker__url": "x"}, "broker.url: got 'x'"),
        ({"commands__keys": '["evil.pub"]'}, "commands.keys: protected"),
        ({"broker__url": "mqtt://two", "connect_within_s": 0}, "expected 1 to 86400"),
    ],
)
def test_settings_that_are_refused_change_nothing(
    agent: Agent, arguments: dict[str, object], said: str
) -> None:
    outcome, message = agent.ask("set-settings", **arguments)
    assert outcome is Outcome.REJECTED
    assert said in message
    assert agent.file.read_text() == SETTINGS
    assert not agent.copy.exists()
    assert agent.restarts == []


def test_the_log_level_is_set(agent: Agent) -> None:
    logger = logging.getLogger("edgewise")
    before = logger.level
    try:
        assert agent.ask("log-level", level="debug")[0] is Outcome.DONE
        assert logger.level == logging.DEBUG
        assert agent.ask("log-level", level="loud")[0] is Outcome.REJECTED
    finally:
        logger.setLevel(before)


def test_a_restart_is_asked_for_once(agent: Agent) -> None:
    assert agent.ask("restart") == (Outcome.DONE, "starting again")
    assert len(agent.restarts) == 1


def test_a_trial_ends_with_the_connection_or_with_its_time(agent: Agent) -> None:
    now_s = 0.0
    told: list[tuple[str, Severity]] = []

    def begin() -> SettingsTrial:
        change = SettingsChange(WorkingCopy(agent.file, agent.file.parent / "state"))
        change.begin()
        return SettingsTrial(
            change,
            tell=lambda name, message, severity: told.append((name, severity)),
            restart=agent.restarts.append,
            now_s=lambda: now_s,
        )

    agent.ask("set-settings", broker__url="mqtt://two", connect_within_s=7)
    trial = begin()
    now_s = 6.9
    trial.check()
    trial.connected()
    trial.connected()
    now_s = 100.0
    trial.check()
    assert told == [("settings.confirmed", Severity.INFO)]

    agent.ask("set-settings", broker__url="mqtt://three", connect_within_s=7)
    trial = begin()
    now_s = 108.0
    trial.check()
    trial.connected()
    assert agent.restarts[-1] == "new settings undone: the broker was not reached within 7 s"
    assert "mqtt://two" in agent.copy.read_text()
    begin()
    assert told[1:] == [("settings.undone", Severity.WARNING)]
