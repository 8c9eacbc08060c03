"""A real mosquitto with the configuration that `edgewise fleet broker-config` writes: who may do what on it."""

import contextlib
import signal
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from fleet.real_parts import WAIT_S, unused_port, wait_until
from paho.mqtt.enums import CallbackAPIVersion

from edgewise_fleet.broker_embedded import find_mosquitto
from edgewise_fleet.enrolment.authority import Authority
from edgewise_fleet.enrolment.enrol import Enrolment
from edgewise_fleet.enrolment.passwords import password_line
from edgewise_fleet.errors import EnrolmentProblem
from edgewise_fleet.ports import answers
from edgewise_messages import Channel, DeviceAddress

CAM_1, CAM_2 = DeviceAddress("shop", "cam-1"), DeviceAddress("shop", "cam-2")
Run = Callable[..., subprocess.CompletedProcess[str]]


class Site:
    """An enrolment folder and the broker that it configures."""

    def __init__(self, folder: Path, run: Run) -> None:
        self.enrolment = Enrolment(folder / "enrolment")
        self.port, self.password_port, self.fleet_port = unused_port(), unused_port(), unused_port()
        self.run = run
        done = run(
            "broker-config", "--host", "127.0.0.1", "--listen", "127.0.0.1", "--port", str(self.port),
            "--password-port", str(self.password_port), "--fleet-port", str(self.fleet_port),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        self.process: subprocess.Popen[bytes] | None = None

    def enrol(self, address: DeviceAddress, *more: str) -> Path:
        port = self.password_port if "--password" in more else self.port
        name = f"{address.group}/{address.device}"
        done = self.run("enrol", name, "--broker", f"mqtts://127.0.0.1:{port}", *more)
        assert done.returncode == 0, done.stderr
        return self.enrolment.folder / "devices" / address.group / address.device

    def start(self) -> None:
        program = find_mosquitto()
        assert program
        config = self.enrolment.broker / "mosquitto.conf"
        self.process = subprocess.Popen([program, "-c", str(config)], stderr=subprocess.DEVNULL)
        wait_until(lambda: answers("127.0.0.1", self.fleet_port), "mosquitto answers")

    def reload(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(WAIT_S)


class Client:
    """One connection, and what it heard."""

    def __init__(self, port: int, *, name: str = "", **tls: Any) -> None:
        self.heard: list[str] = []
        self.connected = threading.Event()
        self.ended = threading.Event()
        self.refused = ""
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=name, protocol=paho.MQTTv311, reconnect_on_failure=False
        )
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = lambda *_: self.ended.set()
        self._client.on_message = lambda _c, _d, message: self.heard.append(message.topic)
        if "password" in tls:
            self._client.username_pw_set(tls.pop("user"), tls.pop("password"))
        if tls:
            self._client.tls_set(**tls, cert_reqs=ssl.CERT_REQUIRED)
        try:
            self._client.connect("127.0.0.1", port)
            self._client.loop_start()
        except OSError as error:
            self.refused = str(error)

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: Any, _props: Any) -> None:
        if reason.is_failure:
            self.refused = str(reason)
        else:
            self.connected.set()

    def is_in(self) -> bool:
        wait_until(lambda: self.connected.is_set() or self.refused or self.ended.is_set(), "it is in or out")
        return self.connected.is_set() and not self.refused

    def subscribe(self, topic: str) -> None:
        self._client.subscribe(topic, qos=1)

    def say(self, topic: str, payload: bytes = b"{}") -> None:
        self._client.publish(topic, payload, qos=1).wait_for_publish(WAIT_S)

    def try_to_say(self, topic: str) -> None:
        """mosquitto 2.0.11 ends a connection that publishes what it may not, later ones drop the message."""
        with contextlib.suppress(RuntimeError):
            self.say(topic)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def site(tmp_path: Path, fleet_command: Run) -> Iterator[Site]:
    made = Site(tmp_path, fleet_command)
    yield made
    made.stop()


@pytest.fixture
def client() -> Iterator[Callable[..., Client]]:
    made: list[Client] = []

    def connect(*arguments: Any, **more: Any) -> Client:
        made.append(Client(*arguments, **more))
        return made[-1]

    yield connect
    for one in made:
        one.close()


def with_certificate(folder: Path) -> dict[str, str]:
    return {
        "ca_certs": str(folder / "ca.crt"),
        "certfile": str(folder / "device.crt"),
        "keyfile": str(folder / "device.key"),
    }


def with_password(folder: Path, user: str) -> dict[str, str]:
    password = (folder / "broker.password").read_text().strip()
    return {"ca_certs": str(folder / "ca.crt"), "user": user, "password": password}


def fleet_login(site: Site) -> dict[str, str]:
    return {"user": "fleet", "password": (site.enrolment.folder / "fleet.password").read_text().strip()}


@pytest.mark.parametrize("kind", ["certificate", "password"])
def test_a_device_reaches_its_own_topics_and_no_other(
    site: Site, client: Callable[..., Client], kind: str
) -> None:
    more = ["--password"] if kind == "password" else []
    folders = {address: site.enrol(address, *more) for address in (CAM_1, CAM_2)}
    site.start()

    def connect(address: DeviceAddress) -> Client:
        user = f"{address.group}/{address.device}"
        if kind == "password":
            return client(site.password_port, **with_password(folders[address], user))
        return client(site.port, **with_certificate(folders[address]))

    fleet, victim = client(site.fleet_port, **fleet_login(site)), connect(CAM_2)
    assert fleet.is_in() and victim.is_in()
    fleet.subscribe("edgewise/#")
    victim.subscribe(CAM_2.topic(Channel.COMMAND))
    # A device gives no commands, not even to itself.
    for topic in [*map(CAM_2.topic, Channel), "homeassistant/x/config", CAM_1.topic(Channel.COMMAND)]:
        thief = connect(CAM_1)
        assert thief.is_in()
        thief.try_to_say(topic)
        thief.close()
    thief = connect(CAM_1)
    assert thief.is_in()
    for topic in ("#", "edgewise/#", "edgewise/v1/+/+/command", *map(CAM_2.topic, Channel)):
        thief.subscribe(topic)
    thief.subscribe(CAM_1.topic(Channel.COMMAND))
    thief.say(CAM_1.topic(Channel.TELEMETRY))
    victim.say(CAM_2.topic(Channel.TELEMETRY))
    fleet.say(CAM_1.topic(Channel.COMMAND))
    fleet.say(CAM_2.topic(Channel.COMMAND))
    own = {CAM_1.topic(Channel.TELEMETRY), CAM_2.topic(Channel.TELEMETRY)}
    commands = {CAM_1.topic(Channel.COMMAND), CAM_2.topic(Channel.COMMAND)}
    wait_until(lambda: set(fleet.heard) >= own | commands, "the fleet hears all that was allowed")
    wait_until(lambda: thief.heard and victim.heard, "each hears its own commands")
    assert set(fleet.heard) == own | commands
    assert set(thief.heard) == {CAM_1.topic(Channel.COMMAND)}
    assert victim.heard == [CAM_2.topic(Channel.COMMAND)]


def test_nobody_takes_another_devices_place_by_its_client_id(
    site: Site, client: Callable[..., Client]
) -> None:
    folders = [site.enrol(address) for address in (CAM_1, CAM_2)]
    site.start()
    victim = client(site.port, name="edgewise-cam-2", **with_certificate(folders[1]))
    assert victim.is_in()
    thief = client(site.port, name="edgewise-cam-2", **with_certificate(folders[0]))
    assert thief.is_in()
    victim.subscribe(CAM_2.topic(Channel.COMMAND))
    fleet = client(site.fleet_port, **fleet_login(site))
    assert fleet.is_in()

    def is_heard() -> bool:
        fleet.say(CAM_2.topic(Channel.COMMAND))
        return bool(victim.heard)

    wait_until(is_heard, "the victim still hears its commands")
    assert not victim.ended.is_set() and not thief.heard


def test_whoever_has_no_credential_is_refused(
    site: Site, client: Callable[..., Client], tmp_path: Path
) -> None:
    folder = site.enrol(CAM_1)
    stranger = Authority(tmp_path / "stranger")
    stranger.create()
    other = Enrolment(tmp_path / "other")
    list(other.prepare_broker(["x"], port=1, password_port=None, fleet_port=2, listen="127.0.0.1"))
    forged, _ = other.enrol(CAM_1, broker="mqtts://x:1", by_password=False, again=False)
    site.start()
    ca = {"ca_certs": str(folder / "ca.crt")}
    assert not client(site.port, **ca).is_in()
    assert not client(site.port, **{**with_certificate(forged), **ca}).is_in()
    assert not client(site.password_port, **ca).is_in()
    assert not client(site.password_port, user="shop/cam-1", password="guess", **ca).is_in()
    assert not client(site.fleet_port).is_in()
    assert client(site.port, **with_certificate(folder)).is_in()


@pytest.mark.parametrize("kind", ["certificate", "password"])
def test_a_revoked_device_is_refused_after_a_reload(
    site: Site, client: Callable[..., Client], kind: str
) -> None:
    more = ["--password"] if kind == "password" else []
    kept, gone = site.enrol(CAM_1, *more), site.enrol(CAM_2, *more)
    site.start()

    def connect(folder: Path, address: DeviceAddress) -> Client:
        if kind == "password":
            user = f"{address.group}/{address.device}"
            return client(site.password_port, **with_password(folder, user))
        return client(site.port, **with_certificate(folder))

    assert connect(gone, CAM_2).is_in()
    done = site.run("revoke", "shop/cam-2")
    assert done.returncode == 0, done.stderr
    site.reload()
    wait_until(lambda: not connect(gone, CAM_2).is_in(), "the revoked one is refused")
    assert connect(kept, CAM_1).is_in()
    listed = site.run("registry", "list", "--json").stdout
    assert '"credential": "revoked"' in listed


def test_new_credentials_end_the_old_ones(site: Site, client: Callable[..., Client], tmp_path: Path) -> None:
    folder = site.enrol(CAM_1)
    old = tmp_path / "old"
    old.mkdir()
    for file in folder.iterdir():
        (old / file.name).write_bytes(file.read_bytes())
    refused = site.run("enrol", "shop/cam-1", "--broker", "mqtts://127.0.0.1:1")
    assert (refused.returncode, "enrolled already" in refused.stderr) == (1, True)
    site.enrol(CAM_1, "--again")
    site.start()
    assert client(site.port, **with_certificate(folder)).is_in()
    assert not client(site.port, **with_certificate(old)).is_in()


def test_keys_are_readable_by_us_only_and_the_agent_takes_the_lines(site: Site) -> None:
    folder = site.enrol(CAM_1)
    for path in [*site.enrolment.folder.rglob("*.key"), *site.enrolment.folder.rglob("*password*")]:
        assert path.stat().st_mode & 0o077 == 0, path
    text = (folder / "agent.toml").read_text()
    assert 'id = "cam-1"\ngroup = "shop"' in text and 'cert_file = "device.crt"' in text
    site.enrolment.authority.pair.key.chmod(0o644)
    with pytest.raises(EnrolmentProblem, match="others can read this private key"):
        site.enrolment.enrol(CAM_2, broker="mqtts://x:1", by_password=False, again=False)


def test_password_lines_are_mosquittos_own(tmp_path: Path) -> None:
    """mosquitto_passwd itself rehashes nothing and drops nothing when it adds a user beside ours."""
    path = tmp_path / "passwords"
    line = password_line("shop/cam-1", "secret")
    path.write_text(f"{line}\n")
    subprocess.run(["mosquitto_passwd", "-b", str(path), "other", "x"], check=True, capture_output=True)
    lines = path.read_text().splitlines()
    assert lines[0] == line and lines[1].startswith("other:$7$101$")


def test_what_was_not_enrolled_cannot_be_revoked(tmp_path: Path) -> None:
    with pytest.raises(EnrolmentProblem, match="not enrolled"):
        Enrolment(tmp_path).revoke(CAM_1)
    with pytest.raises(EnrolmentProblem, match="no authority"):
        Enrolment(tmp_path).enrol(CAM_1, broker="mqtts://x:1", by_password=False, again=False)
