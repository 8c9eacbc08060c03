"""The unit that `edgewise agent install` writes, under a systemd that runs: see systemd_parts.py."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from device_agent.agent_parts import ADDRESS, Broker, Listener
from device_agent.systemd_parts import Container, why_not
from device_agent.update_parts import TARGET, Owner, crashing_model, good_model, write_photos
from fleet.real_parts import WAIT_S, wait_until

from edgewise.testing import write_tiny_model
from edgewise_fleet.commanding import ask_device, make_command
from edgewise_fleet.keys import make_key
from edgewise_messages import Response

pytestmark = [pytest.mark.long, pytest.mark.skipif(bool(why_not()), reason=why_not())]

UNIT = "edgewise-agent"
CONFIG = "/etc/edgewise/agent.toml"
SETTINGS = """\
[device]
id = "{id}"
group = "{group}"
state_dir = "/var/lib/edgewise-agent"
[pipelines.main]
model = "tiny.tflite"
source = "photos"
interval_s = 0.1
[broker]
url = "{url}"
reconnect_max_s = 1.0
[report]
interval_s = 0.5
[commands]
keys = ["owner.pub"]
[updates]
repository = ["/srv/updates"]
root_file = "1.root.json"
target = "{target}"
poll_s = 1.0
shadow_inputs = 5
watch_inputs = 5
watch_s = 0.5
max_slowdown = 1000.0
"""
DYNAMIC_USERS = range(61_184, 65_520)
"""systemd.exec(5), DynamicUser=."""
QUICK_WATCHDOG = "[Service]\nWatchdogSec=6\nRestartSec=0.2\n"


class Pole:
    """A device in the container, and its owner outside of it."""

    def __init__(self, container: Container, broker: Broker, listener: Listener, folder: Path) -> None:
        self.container, self.listener = container, listener
        self.owner = Owner(folder / "owner")
        self._broker, self._key, self._folder = broker, folder / "owner-key", folder
        etc = container.root / "etc/edgewise"
        etc.mkdir(parents=True)
        write_tiny_model(etc / "tiny.tflite")
        write_photos(etc / "photos")
        shutil.copy(make_key(self._key), etc / "owner.pub")
        shutil.copy(self.owner.repository.root_file, etc / "1.root.json")
        config = etc / "agent.toml"
        config.write_text(
            SETTINGS.format(id=ADDRESS.device, group=ADDRESS.group, url=broker.url, target=TARGET)
        )
        for path in (etc, *etc.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)

    def publish(self, model: Path) -> None:
        """As a stick is filled."""
        self.owner.publish(model)
        place = self.container.root / "srv/updates"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self.owner.place, place)

    def ask(self, name: str, /, **arguments: object) -> Response:
        """Signed, over the broker."""
        given = {key.replace("__", "."): value for key, value in arguments.items()}
        command = make_command(name, given, address=ADDRESS, key=self._key)
        return ask_device(command, ADDRESS, broker=self._broker.url, timeout_s=WAIT_S)

    def pid(self) -> int:
        """Inside."""
        return int(self.container.property_of(UNIT, "MainPID"))

    def wait_for_another_start(self, before: int) -> None:
        wait_until(
            lambda: (
                self.pid() not in (0, before) and self.container.property_of(UNIT, "SubState") == "running"
            ),
            "systemd starts it again",
        )


@pytest.fixture
def pole(tmp_path: Path, broker: Broker, listener: Listener) -> Iterator[Pole]:
    container = Container(tmp_path / "container")
    try:
        container.install_edgewise(tmp_path / "wheel")
        made = Pole(container, broker, listener, tmp_path)
        if not container.boot():
            pytest.skip("systemd could not be booted in a container here")
        yield made
    finally:
        container.end()


def test_the_unit_runs_is_watched_updates_and_takes_commands(pole: Pole) -> None:
    """One boot for all of it: a boot and an installation take a minute."""
    container, listener = pole.container, pole.listener
    container.edgewise("agent", "install", "--config", CONFIG)
    folder = container.root / "etc/systemd/system" / f"{UNIT}.service.d"
    folder.mkdir()
    (folder / "quick.conf").write_text(QUICK_WATCHDOG)
    container.run("systemctl", "daemon-reload")
    container.run("systemctl", "enable", "--now", UNIT)
    # Type=notify: `start` came back because the agent said READY.
    assert container.property_of(UNIT, "ActiveState") == "active"
    assert container.property_of(UNIT, "StatusText") == "runs tiny"
    listener.wait_for(lambda: listener.telemetry(), "it reports")
    status = container.edgewise("agent", "status", "--config", CONFIG)
    assert "running" in status and "connected True" in status
    container.edgewise("agent", "send-test", "--config", CONFIG)
    assert int(container.run("stat", "-c", "%u", f"/proc/{pole.pid()}")) in DYNAMIC_USERS

    assert pole.ask("set-settings", report__interval_s=0.25).outcome == "done"
    listener.wait_for(lambda: listener.events("settings.confirmed"), "the new settings are kept")
    assert "is in force" in container.edgewise("agent", "check", "--config", CONFIG)

    pole.publish(good_model(pole._folder / "one.tflite", "one"))
    listener.wait_for(lambda: listener.events("update.confirmed"), "the model of the stick is confirmed")
    pole.publish(crashing_model(pole._folder / "crash.tflite"))
    (refused,) = listener.wait_for(lambda: listener.events("update.rejected"), "one that crashes is refused")
    assert "SIG" in refused.message

    marker = container.run("sh", "-c", "stat -c '%n %i %a' /run/edgewise-agent/*")
    assert marker.split()[0].endswith("-main") and marker.split()[2] == "600"
    for number, restarts in (("KILL", "killed"), ("STOP", "hung: the watchdog's")):
        before = pole.pid()
        container.run("systemctl", "kill", f"--signal=SIG{number}", UNIT)
        pole.wait_for_another_start(before)
        starts = len(listener.events("agent.started"))
        assert starts >= 2, restarts
    # systemd keeps the file in memory that says whether an inference was at hand.
    assert container.run("sh", "-c", "stat -c '%n %i %a' /run/edgewise-agent/*") == marker
    wait_until(
        lambda: listener.events("agent.started")[-1].data["model"] == "one", "it still runs the update"
    )
    assert "watchdog" in container.run("journalctl", "-u", UNIT, "--no-pager").lower()

    container.run("systemctl", "stop", UNIT)
    listener.wait_for_state("stopped")
    assert container.property_of(UNIT, "Result") == "success"
    container.run("systemctl", "start", UNIT)
    listener.wait_for_state("online")
