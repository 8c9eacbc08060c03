"""systemd's notices over a real socket, heartbeats, the watchdog, and the unit."""

import math
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from device_agent.agent_parts import AgentProcess, Broker
from fleet.real_parts import EDGEWISE, WAIT_S, wait_until

from edgewise_agent.service.heartbeat import Heartbeats, Watchdog
from edgewise_agent.service.install import existing_groups
from edgewise_agent.service.notify import Notifier
from edgewise_agent.service.unit import UnitOptions, unit_text

WriteConfig = Callable[..., Path]


class Manager:
    """The service manager's end of the socket."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(WAIT_S)

    def hear(self) -> str:
        return self.socket.recv(4096).decode()

    def hear_until(self, text: str) -> list[str]:
        heard = []
        while text not in heard[-1:]:
            heard.append(self.hear())
        return heard

    def heard_nothing(self) -> bool:
        self.socket.setblocking(False)
        try:
            return not self.socket.recv(4096)
        except BlockingIOError:
            return True
        finally:
            self.socket.settimeout(WAIT_S)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(str(tmp_path / "notify"))
    yield made
    made.socket.close()


@pytest.fixture
def notifier(tmp_path: Path) -> Notifier:
    return Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "30000000"})


def test_notices_arrive_as_systemd_reads_them(manager: Manager, notifier: Notifier) -> None:
    notifier.ready()
    notifier.alive()
    notifier.status("runs\nlite0 " + "x" * 300)
    notifier.stopping()
    assert [manager.hear(), manager.hear()] == ["READY=1", "WATCHDOG=1"]
    status = manager.hear()
    assert status.startswith("STATUS=runs lite0 x")
    assert len(status) <= 207
    assert manager.hear() == "STOPPING=1"
    assert notifier.is_heard


def test_an_abstract_socket_is_reached_too() -> None:
    name = f"edgewise-test-{os.getpid()}"
    manager = Manager("\0" + name)
    Notifier({"NOTIFY_SOCKET": "@" + name}).ready()
    assert manager.hear() == "READY=1"
    manager.socket.close()


def test_without_a_manager_or_with_one_that_has_gone_nothing_breaks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert not Notifier({}).is_heard
    Notifier({}).ready()
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()
    assert "the service manager does not hear" in caplog.text


@pytest.mark.parametrize(
    ("environment", "expected_s"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "x"}, None),
        ({}, None),
    ],
)
def test_the_watchdogs_time_is_for_this_process(
    environment: dict[str, str], expected_s: float | None
) -> None:
    assert Notifier(environment).watchdog_s == expected_s


def test_a_part_is_alive_until_the_time_that_it_said_itself() -> None:
    now_s = [0.0]
    heartbeats = Heartbeats(now_s=lambda: now_s[0])
    loop, courier = heartbeats.part("loop", within_s=10.0), heartbeats.part("courier", within_s=10.0)
    now_s[0] = 9.0
    assert heartbeats.silent() == {}
    loop(100.0)
    now_s[0] = 15.0
    assert heartbeats.silent() == {"courier": 5.0}
    courier(math.inf)
    now_s[0] = 108.0
    assert heartbeats.silent() == {}
    now_s[0] = 200.0
    assert heartbeats.silent() == {"loop": 91.0}


def test_the_watchdog_is_fed_only_while_every_part_is_alive(
    manager: Manager, notifier: Notifier, caplog: pytest.LogCaptureFixture
) -> None:
    now_s = [0.0]
    heartbeats = Heartbeats(now_s=lambda: now_s[0])
    loop, courier = heartbeats.part("loop", within_s=10.0), heartbeats.part("courier", within_s=10.0)
    watchdog = Watchdog(heartbeats, notifier)
    assert watchdog.look()
    assert manager.hear() == "WATCHDOG=1"
    now_s[0] = 20.0
    loop(10.0)
    assert not watchdog.look()
    assert manager.hear() == "STATUS=hangs: courier (10 s late)"
    assert manager.heard_nothing(), "one living part must not feed it"
    assert "not heard from: courier (10 s late); systemd will restart the agent" in caplog.text
    courier(10.0)
    assert watchdog.look()
    assert manager.hear() == "WATCHDOG=1"


def test_the_watchdogs_thread_feeds_it_and_ends(manager: Manager, tmp_path: Path) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "60000"})
    watchdog = Watchdog(Heartbeats(), notifier)
    watchdog.start()
    assert [manager.hear() for _ in range(3)] == ["WATCHDOG=1"] * 3
    watchdog.stop()


def test_the_real_agent_tells_ready_feeds_the_watchdog_and_tells_its_stop(
    manager: Manager,
    tmp_path: Path,
    write_config: WriteConfig,
    broker: Broker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "600000")
    agent = AgentProcess(write_config(broker.url), tmp_path / "agent.log")
    heard = manager.hear_until("READY=1")
    assert manager.hear() == "STATUS=runs tiny"
    assert [manager.hear() for _ in range(3)] == ["WATCHDOG=1"] * 3
    assert agent.end() == 0
    assert manager.hear_until("STOPPING=1")[-1] == "STOPPING=1"
    assert set(heard) <= {"READY=1", "WATCHDOG=1"}


def options(**changes: object) -> UnitOptions:
    values = {
        "python": Path(sys.executable),
        "config": Path("/etc/edgewise/agent.toml"),
        "state_dir": Path("/var/lib/edgewise-agent"),
        "groups": existing_groups(),
        **changes,
    }
    return UnitOptions(**values)  # type: ignore[arg-type]  # keywords by name, checked when called


def test_the_unit_has_what_it_promises() -> None:
    lines = unit_text(options()).splitlines()
    for line in (
        "Type=notify", "NotifyAccess=main", "WatchdogSec=60", "MemoryMax=256M", "DynamicUser=yes", "Restart=always",
        "ProtectSystem=strict", "StateDirectory=edgewise-agent", "PrivateTmp=yes", "NoNewPrivileges=yes",
        "CapabilityBoundingSet=", "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
        "StartLimitBurst=30", "RuntimeDirectoryPreserve=yes", "DevicePolicy=closed", "DeviceAllow=char-i2c rw",
        "ProtectHome=yes",
    ):  # fmt: skip
        assert line in lines
    assert not any(line.startswith("User=root") for line in lines)


def test_a_user_unit_asks_for_nothing_that_only_root_can_set() -> None:
    text = unit_text(options(is_user_unit=True))
    assert "WantedBy=default.target" in text
    for word in ("User=", "Capability", "DeviceAllow", "StateDirectory", "network-online"):
        assert word not in text


def test_names_with_blanks_and_signs_are_quoted() -> None:
    text = unit_text(options(config=Path("/etc/my $configs/50%.toml"), user="pi", state_dir=Path("/srv/a b")))
    assert '--config "/etc/my $$configs/50%%.toml"' in text
    assert 'ReadWritePaths="/srv/a b"' in text
    assert "User=pi" in text


needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed here (Debian: systemd)"
)


@needs_systemd
@pytest.mark.parametrize("is_user_unit", [False, True])
def test_systemd_finds_no_fault_in_the_unit(tmp_path: Path, is_user_unit: bool) -> None:
    unit = tmp_path / "edgewise-agent.service"
    unit.write_text(unit_text(options(is_user_unit=is_user_unit)))
    kind = "--user" if is_user_unit else "--system"
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(
        ["systemd-analyze", kind, "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        env=environment,
    )
    told = [line for line in done.stderr.splitlines() if "edgewise-agent" in line]
    assert told == [], done.stderr


@needs_systemd
def test_systemd_calls_the_exposure_ok(tmp_path: Path) -> None:
    unit = tmp_path / "edgewise-agent.service"
    unit.write_text(unit_text(options()))
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=25", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-800:] + done.stderr


def install(*words: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "XDG_CONFIG_HOME": str(folder / "config"), "COLUMNS": "200"}
    return subprocess.run(
        [EDGEWISE, "agent", "install", *map(str, words)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=WAIT_S,
    )


def test_install_writes_once_and_replaces_only_by_force(write_config: WriteConfig, tmp_path: Path) -> None:
    config = write_config()
    unit = tmp_path / "config/systemd/user/edgewise-agent.service"
    dry = install("--config", config, "--user", "--dry-run", folder=tmp_path)
    assert dry.returncode == 0
    assert f"Would write {unit}" in dry.stdout
    assert not unit.exists()
    done = install("--config", config, "--user", folder=tmp_path)
    assert done.returncode == 0
    assert "systemctl --user enable --now edgewise-agent.service" in done.stdout
    printed = install("--config", config, "--user", "--print", folder=tmp_path)
    assert printed.stdout == unit.read_text()
    assert install("--config", config, "--user", folder=tmp_path).returncode == 0, "the same again is no harm"
    refused = install("--config", config, "--user", "--memory-max-mb", "100", folder=tmp_path)
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"error: {unit}: exists already, with other contents; --force")
    assert (
        install("--config", config, "--user", "--memory-max-mb", "100", "--force", folder=tmp_path).returncode
        == 0
    )
    assert "MemoryMax=100M" in unit.read_text()
    assert not list(unit.parent.glob("*.part"))


def test_install_refuses_what_could_not_work(write_config: WriteConfig, tmp_path: Path) -> None:
    config = write_config()
    refused = install("--config", config, "--print", folder=tmp_path)
    assert refused.returncode == 1
    assert "can write in a folder of /var/lib only" in refused.stderr
    assert "root" in install("--config", config, "--user-name", "root", folder=tmp_path).stderr
    missing = install("--config", tmp_path / "none.toml", folder=tmp_path)
    assert missing.returncode == 1
    assert "no such file" in missing.stderr


def test_what_a_killed_agent_leaves_is_no_holder(tmp_path: Path, write_config: WriteConfig) -> None:
    agent = AgentProcess(write_config(), tmp_path / "agent.log")
    wait_until(lambda: (tmp_path / "state/agent.lock").exists(), "it holds its folder")
    agent.kill()
    done = subprocess.run(
        [EDGEWISE, "agent", "status", "--config", str(tmp_path / "agent.toml")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "no agent runs on" in done.stderr
