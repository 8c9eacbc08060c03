"""Mutual TLS against a real broker, with files that are replaced, and with a clock that says 1970."""

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from device_agent.agent_parts import Broker, FakeTime
from device_agent.certificates import Authority, Pair
from fleet.real_parts import wait_until

from edgewise_agent.connection.broker_url import BrokerUrl
from edgewise_agent.connection.connector import Callbacks, Connector, Pace
from edgewise_agent.connection.known_time import BUILT_S, FILE_NAME, KnownTime
from edgewise_agent.connection.tls_files import TlsFiles
from edgewise_agent.errors import BrokerError, ConnectionOutdated
from edgewise_agent.settings.config import BrokerSettings
from edgewise_agent.wire.message import Message
from edgewise_messages import Clock

WILL = Message("will", b"")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def strict_broker(tmp_path: Path, authority: Authority) -> Iterator[Broker]:
    """Lets in only who shows a certificate of the authority."""
    made = serve_tls(tmp_path, authority, authority.sign("broker"))
    yield made
    made.stop()


def serve_tls(tmp_path: Path, authority: Authority, pair: Pair) -> Broker:
    folder = tmp_path / "tls-broker"
    folder.mkdir(exist_ok=True)
    broker = Broker(folder)
    broker.start(
        f"certfile {pair.certificate}", f"keyfile {pair.key}", f"cafile {authority.pair.certificate}",
        "require_certificate true", "use_identity_as_username true",
    )  # fmt: skip
    return broker


def settings(broker: Broker, authority: Authority, pair: Pair | None) -> BrokerSettings:
    files: dict[str, Any] = {"ca_file": authority.pair.certificate}
    if pair:
        files |= {"cert_file": pair.certificate, "key_file": pair.key}
    return BrokerSettings(url=(BrokerUrl(f"mqtts://127.0.0.1:{broker.port}"),), **files)


def device_pair(tmp_path: Path, authority: Authority, name: str) -> Pair:
    """As an operator puts it on the device."""
    made, own = authority.sign(name), Pair(tmp_path / "device.pem", tmp_path / "device.key")
    replace(own, made)
    return own


def replace(own: Pair, made: Pair) -> None:
    shutil.copy(made.certificate, own.certificate)
    shutil.copy(made.key, own.key)


def open_with(connector: Connector) -> None:
    connector.open(None, Callbacks()).close()


def test_the_broker_lets_in_who_shows_a_certificate_and_nobody_else(
    strict_broker: Broker, authority: Authority, tmp_path: Path
) -> None:
    pair = device_pair(tmp_path, authority, "cam-1")
    open_with(Connector(settings(strict_broker, authority, pair), client_id="test"))
    stranger = Authority(tmp_path / "other").sign("cam-1")
    for other in (None, stranger):
        with pytest.raises(BrokerError):
            open_with(Connector(settings(strict_broker, authority, other), client_id="test"))


def test_a_key_that_is_not_the_certificates_is_named(authority: Authority, tmp_path: Path) -> None:
    pair = Pair(authority.sign("one").certificate, authority.sign("two").key)
    with pytest.raises(BrokerError, match=r"broker.cert_file .*one.pem: .*two.key is not its key"):
        TlsFiles(settings(Broker(tmp_path, port=1), authority, pair)).context()


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked_for_it(
    authority: Authority, tmp_path: Path
) -> None:
    pair = authority.sign("one")
    locked = tmp_path / "locked.key"
    command = ["openssl", "ec", "-in", str(pair.key), "-aes128", "-passout", "pass:x", "-out", str(locked)]
    subprocess.run(command, check=True, capture_output=True)
    files = TlsFiles(settings(Broker(tmp_path, port=1), authority, Pair(pair.certificate, locked)))
    with pytest.raises(BrokerError, match="protected by a passphrase"):
        files.context()


def test_renewed_files_are_used_by_a_new_connection_within_a_bounded_time(
    strict_broker: Broker, authority: Authority, tmp_path: Path
) -> None:
    pair = device_pair(tmp_path, authority, "cam-1")
    connector = Connector(
        settings(strict_broker, authority, pair),
        client_id="test",
        pace=Pace(look_every_s=0.1, renew_within_s=0.1),
    )
    heard: dict[str, Any] = {
        "on_acknowledged": lambda number: None,
        "on_refused": lambda number, refusal: None,
        "on_message": lambda message: None,
    }
    connection = connector(will=WILL, **heard)
    connection.connect()
    for _ in range(5):
        connection.run(0.05)
    replace(pair, authority.sign("cam-1-renewed"))
    with pytest.raises(ConnectionOutdated, match="the certificate files were renewed; connecting again"):
        wait_until(lambda: connection.run(0.05), "the renewal is noticed")
    connection.close()
    again = connector(will=WILL, **heard)
    again.connect()
    again.close()
    said = (strict_broker.folder / "mosquitto.log").read_text()
    assert "u'cam-1'" in said and "u'cam-1-renewed'" in said


def test_a_half_written_pair_leaves_the_earlier_one_in_use(
    strict_broker: Broker, authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pair = device_pair(tmp_path, authority, "cam-1")
    connector = Connector(settings(strict_broker, authority, pair), client_id="test")
    open_with(connector)
    renewed = authority.sign("cam-1-renewed")
    caplog.set_level(logging.WARNING)
    pair.certificate.write_bytes(renewed.certificate.read_bytes()[:300])
    assert connector.outdated() == ""
    open_with(connector)
    shutil.copy(renewed.certificate, pair.certificate)
    assert connector.outdated() == "", "the key is still the earlier one's"
    open_with(connector)
    assert len([line for line in caplog.messages if "going on with the earlier one" in line]) == 2
    shutil.copy(renewed.key, pair.key)
    assert connector.outdated() == "the certificate files were renewed"
    assert connector.outdated() == ""
    open_with(connector)


# A clock that says 1970

CHILD = """
import sys, time
from pathlib import Path
from edgewise_agent.connection.broker_url import BrokerUrl
from edgewise_agent.clock import SystemClock
from edgewise_agent.settings.config import BrokerSettings
from edgewise_agent.connection.connector import Callbacks, Connector
from edgewise_agent.errors import BrokerError
from edgewise_agent.connection.known_time import KnownTime
from edgewise_messages import Clock
class Unset(SystemClock):
    def state(self):
        return Clock.UNSYNCED
url, ca, folder, relaxed = sys.argv[1:]
assert time.gmtime().tm_year == 1970
settings = BrokerSettings(url=(BrokerUrl(url),), ca_file=Path(ca))
known = KnownTime(Unset(), folder=Path(folder)) if relaxed == "yes" else None
try:
    Connector(settings, client_id="test", time=known).open(None, Callbacks()).close()
    print("connected")
except BrokerError as error:
    print(error)
"""


def say_in_1970(broker: Broker, ca: Path, folder: Path, *, relaxed: bool = True) -> str:
    """What a process says for which it is 1970: also OpenSSL in it asks this clock."""
    url = f"mqtts://127.0.0.1:{broker.port}"
    done = subprocess.run(
        ["faketime", "-f", "@1970-01-01 00:05:00", sys.executable, "-c", CHILD, url, ca, folder]
        + ["yes" if relaxed else "no"],
        env={**os.environ, "NO_FAKE_STAT": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "TZ": "UTC"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout.strip() or done.stderr


@pytest.fixture
def plain_tls(tmp_path: Path, authority: Authority) -> Iterator[Any]:
    """Starts a TLS broker with a certificate."""
    started: list[Broker] = []

    def start(pair: Pair) -> Broker:
        folder = tmp_path / f"broker-{len(started)}"
        folder.mkdir()
        started.append(Broker(folder))
        started[-1].start(f"certfile {pair.certificate}", f"keyfile {pair.key}")
        return started[-1]

    yield start
    for broker in started:
        broker.stop()


def test_in_1970_a_valid_broker_is_reached_and_the_plain_check_would_refuse_it(
    plain_tls: Any, authority: Authority, tmp_path: Path
) -> None:
    broker = plain_tls(authority.sign("broker"))
    assert say_in_1970(broker, authority.pair.certificate, tmp_path) == "connected"
    said = say_in_1970(broker, authority.pair.certificate, tmp_path, relaxed=False)
    assert "certificate is not yet valid; is this device's clock right?" in said


def test_in_1970_an_expired_broker_is_refused_all_the_same(
    plain_tls: Any, authority: Authority, tmp_path: Path
) -> None:
    broker = plain_tls(authority.sign("expired", made_on="2021-03-01 00:00:00"))
    said = say_in_1970(broker, authority.pair.certificate, tmp_path)
    assert "certificate has expired on Mar 31 00:00:00 2021 GMT; renew the broker's certificate" in said


def test_in_1970_what_the_device_once_knew_of_the_time_counts(
    plain_tls: Any, authority: Authority, tmp_path: Path
) -> None:
    later_s = BUILT_S + 40 * 365 * 86400
    (tmp_path / FILE_NAME).touch()
    os.utime(tmp_path / FILE_NAME, (later_s, later_s))
    said = say_in_1970(plain_tls(authority.sign("broker")), authority.pair.certificate, tmp_path)
    assert "certificate has expired on" in said


def test_in_1970_the_chain_and_the_name_are_verified_as_ever(
    plain_tls: Any, authority: Authority, tmp_path: Path
) -> None:
    broker = plain_tls(Authority(tmp_path / "other").sign("broker"))
    assert "certificate not trusted" in say_in_1970(broker, authority.pair.certificate, tmp_path)


def test_the_known_time_never_lies_before_the_build_and_goes_with_the_clock(tmp_path: Path) -> None:
    time = FakeTime()
    known = KnownTime(time, folder=tmp_path)
    assert known.at_least_s() >= BUILT_S
    known.remember()
    assert not (tmp_path / FILE_NAME).exists(), "a clock that nobody set is not worth remembering"
    time.wall_ms, time.clock = 3_000_000_000_000, Clock.NTP
    assert known.at_least_s() == 3_000_000_000
    known.remember()
    assert KnownTime(FakeTime(), folder=tmp_path).at_least_s() == 3_000_000_000
