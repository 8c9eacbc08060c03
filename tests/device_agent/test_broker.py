import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from device_agent.agent_parts import Broker
from fleet.real_parts import wait_until

from edgewise_agent.connection.broker import BrokerConnection
from edgewise_agent.connection.broker_url import BrokerUrl
from edgewise_agent.errors import BrokerError, BrokerRefused
from edgewise_agent.settings.config import BrokerSettings
from edgewise_agent.wire.message import Message


@pytest.fixture
def locked_broker(tmp_path: Path) -> Iterator[Broker]:
    """Lets in only cam with the password "geheim ä", who may not publish to forbidden/#."""
    folder = tmp_path / "locked"
    folder.mkdir()
    passwords = folder / "passwords"
    subprocess.run(["mosquitto_passwd", "-c", "-b", str(passwords), "cam", "geheim ä"], check=True)
    made = Broker(folder)
    made.start("allow_anonymous false", f"password_file {passwords}")
    yield made
    made.stop()


def settings(url: str, **more: object) -> BrokerSettings:
    return BrokerSettings(url=(BrokerUrl(url),), **more)  # type: ignore[arg-type]  # keywords by name, checked when called


def refusal(url: str, **more: object) -> str:
    connection = BrokerConnection(settings(url, **more), client_id="test")
    with pytest.raises(BrokerError) as caught:
        connection.connect()
    connection.close()
    assert "\n" not in str(caught.value)
    return f"{type(caught.value).__name__}: {caught.value}"


def test_a_publish_is_acknowledged_by_its_number_and_heard(broker: Broker) -> None:
    acknowledged: list[int] = []
    heard: list[Message] = []
    connection = BrokerConnection(
        settings(broker.url),
        client_id="test",
        on_acknowledged=acknowledged.append,
        on_message=heard.append,
    )
    connection.connect()
    connection.subscribe("a/b")
    numbers = [connection.publish(Message("a/b", payload)) for payload in (b"one", b"two")]
    wait_until(lambda: connection.run(0.1) or len(heard) == len(acknowledged) == 2, "both arrive")
    assert acknowledged == numbers
    assert heard == [Message("a/b", b"one"), Message("a/b", b"two")]
    connection.close()


def test_a_lost_connection_is_an_error_at_the_next_turn(broker: Broker) -> None:
    connection = BrokerConnection(settings(broker.url), client_id="test")
    connection.connect()
    broker.stop()
    with pytest.raises(BrokerError, match="the connection ended"):
        wait_until(lambda: connection.run(0.1), "the loss is noticed")
    connection.close()


def test_nobody_there() -> None:
    assert refusal("mqtt://127.0.0.1:1") == (
        "BrokerError: broker mqtt://127.0.0.1:1: connection refused; is a broker running there?"
    )


def test_an_unknown_name() -> None:
    assert "name not found" in refusal("mqtt://no-such-host.invalid")


def test_a_server_that_is_no_broker() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=greet_and_hang_up, args=(server,), daemon=True).start()
        port = server.getsockname()[1]
        assert "closed the connection instead of answering" in refusal(f"mqtt://127.0.0.1:{port}")


def greet_and_hang_up(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(100)


def test_a_server_that_says_nothing_is_given_up_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert "no answer within 5 s; is it MQTT?" in refusal(f"mqtt://127.0.0.1:{server.getsockname()[1]}")


def test_a_missing_password_is_refused_by_the_broker(locked_broker: Broker) -> None:
    connection = BrokerConnection(settings(locked_broker.url), client_id="test")
    with pytest.raises(BrokerRefused, match=r"refused the connection: Not authorized"):
        connection.connect()
    connection.close()


def test_the_password_comes_from_the_first_line_of_its_file(locked_broker: Broker, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("geheim ä\r\nsecond line\n")
    connection = BrokerConnection(
        settings(locked_broker.url, username="cam", password_file=password), client_id="test"
    )
    connection.connect()
    connection.close()
    password.write_text("wrong")
    assert "refused the connection" in refusal(locked_broker.url, username="cam", password_file=password)


def test_a_missing_password_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match=r"broker\.password_file .*none: No such file"):
        BrokerConnection(
            settings("mqtt://h", username="cam", password_file=tmp_path / "none"), client_id="test"
        )


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate for 127.0.0.1 beside its key."""
    path = tmp_path / "tls" / "cert.pem"
    path.parent.mkdir()
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    names = ["-keyout", str(path.with_name("key.pem")), "-out", str(path)]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *names],
        check=True,
        capture_output=True,
    )
    return path


def test_tls_with_its_own_authority_works_and_an_unknown_one_is_refused(
    tmp_path: Path, certificate: Path
) -> None:
    folder = tmp_path / "tls-broker"
    folder.mkdir()
    broker = Broker(folder)
    broker.start(f"certfile {certificate}", f"keyfile {certificate.with_name('key.pem')}")
    url = f"mqtts://127.0.0.1:{broker.port}"
    connection = BrokerConnection(settings(url, ca_file=certificate), client_id="test")
    connection.connect()
    connection.close()
    assert "certificate not trusted: self-signed certificate; name its issuer's file" in refusal(url)
    assert "closed the connection" in refusal(broker.url)
    broker.stop()


def test_a_certificate_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not a certificate")
    with pytest.raises(BrokerError, match=r"broker\.ca_file .*ca\.pem"):
        BrokerConnection(settings("mqtts://h", ca_file=tmp_path / "ca.pem"), client_id="test")
