"""Asking edge servers: the nearest allowed one, in time or not at all, and whoever answers is on record."""

import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from device_agent.offload_parts import certificate, late, listening, saying, serving
from fleet.real_parts import unused_port

from edgewise_agent.errors import InvalidSettings
from edgewise_agent.offload import (
    Offloader,
    OffloadOutcome,
    OffloadServerSettings,
    OffloadSettings,
    offload_problems,
)
from edgewise_agent.offload.server import OffloadServer, ServeOptions
from edgewise_agent.privacy import AuditLog, Gate, PrivacySettings, read_audit
from edgewise_agent.snapshots import Encoded, encode_input

RED = np.full((32, 32, 3), (255, 0, 0), np.uint8)
LONG_MS = 20_000.0
"""A budget that a loaded test machine keeps."""
SHORT_MS = 400.0
"""A budget that late answers are beyond."""
LATE_S = 1.5


def red() -> Encoded:
    return encode_input(RED)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Offloader]]:
    """Makes an offloader whose gate lets everything out to the servers, and closes it."""
    made: list[Offloader] = []
    before = threading.active_count()

    def build(*urls: str, privacy: dict[str, Any] | None = None, **settings: Any) -> Offloader:
        chosen = OffloadSettings(
            **{
                "enabled": True, "max_latency_ms": LONG_MS, "probe_every_s": 3600.0,
                "servers": tuple(OffloadServerSettings(url=url, region="home") for url in urls), **settings,
            }
        )  # fmt: skip
        rules = {"raw_leaves": True, "allowed_regions": ("home",), "redact": (), **(privacy or {})}
        gate = Gate(PrivacySettings(**rules), AuditLog(tmp_path / "audit", max_bytes=10**6))
        made.append(Offloader(chosen, gate))
        return made[-1]

    yield build
    for one in made:
        one.close()
    assert threading.active_count() == before


def ask(offloader: Offloader, *, score: float = 0.2) -> OffloadOutcome:
    outcome = offloader.consider(red, label="green", score=score)
    assert outcome is not None
    return outcome


def url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def test_a_real_server_answers_and_both_answers_are_on_record(
    make: Callable[..., Offloader], tiny_model: Path, tmp_path: Path
) -> None:
    with serving(tiny_model) as server:
        offloader = make(url(server.port))
        offloader.servers.probe()
        outcome = ask(offloader)
    assert (outcome.answered_by, outcome.label, outcome.local_label) == (url(server.port), "red", "green")
    assert outcome.score > 0.5 and outcome.local_score == 0.2
    (line,) = read_audit(tmp_path / "audit")
    assert (line["to"], line["why"], line["region"]) == (url(server.port), "offload", "home")
    data = outcome.data()
    assert data["answered_by"] == url(server.port) and data["local_label"] == "green"
    assert str(data["audit"]).startswith("1 ") and data["model"] == "tiny"
    assert (offloader.asked, offloader.answered) == (1, 1)


def test_who_is_certain_asks_nobody_nor_who_has_it_off(make: Callable[..., Offloader]) -> None:
    assert make(url(1)).consider(red, label="green", score=0.5) is None
    assert make(url(1), enabled=False).consider(red, label="green", score=0.1) is None


def test_the_server_that_is_nearest_by_measurement_is_asked(
    make: Callable[..., Offloader], tiny_model: Path
) -> None:
    asked = threading.Event()
    with serving(tiny_model) as near, listening(lambda _: asked.set(), ping_s=1.0) as far:
        offloader = make(url(far), url(near.port), url(unused_port()))
        offloader.servers.probe()
        order = [one.settings.url for one in offloader.servers.known()]
        assert order[:2] == [url(near.port), url(far)]
        assert offloader.servers.known()[2].round_trip_ms is None
        assert ask(offloader).answered_by == url(near.port)
    assert not asked.is_set()


def test_a_server_that_works_slowly_is_no_longer_the_nearest(
    make: Callable[..., Offloader], tiny_model: Path
) -> None:
    with serving(tiny_model) as quick, listening(late(LATE_S)) as slow:
        offloader = make(url(quick.port), url(slow))
        offloader.servers.probe()
        for server in offloader.servers.known():
            offloader.servers.answered(
                server.settings.url, 50.0 if str(slow) in server.settings.url else 900.0
            )
        assert [str(slow) in one.settings.url for one in offloader.servers.known()] == [True, False]
        assert ask(offloader).answered_by == url(slow)
        work_ms = {one.settings.url: one.work_ms for one in offloader.servers.known()}
        assert work_ms[url(slow)] > 300


def test_a_late_answer_does_not_count_and_its_server_rests(make: Callable[..., Offloader]) -> None:
    with listening(late(LATE_S)) as port:
        offloader = make(url(port), max_latency_ms=SHORT_MS)
        offloader.servers.probe()
        outcome = ask(offloader)
        assert (outcome.answered_by, outcome.label) == ("local", "green")
        assert "no answer in time" in outcome.reason and outcome.audit
        assert "does not answer: 127.0.0.1" in ask(offloader).reason
        offloader.servers.probe()
        assert offloader.servers.known()[0].round_trip_ms is not None


def test_one_slow_and_one_down_leave_the_good_one(make: Callable[..., Offloader], tiny_model: Path) -> None:
    with serving(tiny_model) as good, listening(late(LATE_S)) as slow:
        offloader = make(url(slow), url(unused_port()), url(good.port), max_latency_ms=1_000.0)
        answers = []
        while len(answers) < 10 and "red" not in answers:  # the slow one pings well, so it may be asked first
            offloader.servers.probe()
            answers.append(ask(offloader).label)
    assert answers[-1] == "red" and "late" not in answers


def test_a_server_that_went_down_leaves_the_local_answer(
    make: Callable[..., Offloader], tiny_model: Path
) -> None:
    with serving(tiny_model) as server:
        offloader = make(url(server.port))
        offloader.servers.probe()
    outcome = ask(offloader)
    assert outcome.answered_by == "local" and "refused" in outcome.reason


@pytest.mark.parametrize(
    ("privacy", "says"),
    [
        ({"raw_leaves": False}, "privacy.raw_leaves is false"),
        ({"allowed_regions": ("elsewhere",)}, "neither in privacy.allowed_brokers"),
        ({"redact": ("faces",)}, "no privacy.face_model"),
    ],
)
def test_what_may_not_leave_is_not_sent(
    make: Callable[..., Offloader], tmp_path: Path, privacy: dict[str, Any], says: str
) -> None:
    asked = threading.Event()
    with listening(lambda connection: asked.set()) as port:
        offloader = make(url(port), privacy=privacy)
        offloader.servers.probe()
        outcome = offloader.consider(lambda: pytest.fail("it was encoded"), label="green", score=0.1)
    assert outcome is not None and says in outcome.reason
    assert not asked.is_set() and list(read_audit(tmp_path / "audit")) == []


def test_redaction_that_takes_longer_than_the_budget_sends_nothing(
    make: Callable[..., Offloader], tmp_path: Path, tiny_model: Path
) -> None:
    def slow_encode() -> Encoded:
        time.sleep(SHORT_MS / 1000 + 0.1)
        return red()

    with serving(tiny_model) as server:
        offloader = make(url(server.port), max_latency_ms=SHORT_MS)
        offloader.servers.probe()
        outcome = offloader.consider(slow_encode, label="green", score=0.1)
        assert outcome is not None and "longer than there was time" in outcome.reason
        assert "lately" in ask(offloader).reason
    assert list(read_audit(tmp_path / "audit")) == []


def test_so_many_a_minute_and_no_more(make: Callable[..., Offloader], tiny_model: Path) -> None:
    with serving(tiny_model) as server:
        offloader = make(url(server.port), max_per_minute=2)
        offloader.servers.probe()
        answers = [ask(offloader) for _ in range(4)]
    assert [one.answered_by == "local" for one in answers] == [False, False, True, True]
    assert "max_per_minute" in answers[3].reason


def test_while_one_pipeline_asks_another_keeps_its_answer(make: Callable[..., Offloader]) -> None:
    began, go_on = threading.Event(), threading.Event()

    def wait(connection: socket.socket) -> None:
        began.set()
        go_on.wait(20)
        connection.sendall(reply(b'{"label": "x", "score": 1.0}'))

    with listening(wait) as port:
        offloader = make(url(port))
        offloader.servers.probe()
        outcomes: list[OffloadOutcome] = []
        first = threading.Thread(target=lambda: outcomes.append(ask(offloader)))
        first.start()
        assert began.wait(20)
        assert "another pipeline" in ask(offloader).reason
        go_on.set()
        first.join()
    assert outcomes[0].label == "x"


def reply(body: bytes, *, status: bytes = b"200 OK", more: bytes = b"") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n%s" % (status, len(body), more, body)


HOSTILE = {
    "nothing": (saying(), "connection|closed|reset|no HTTP"),
    "no http": (saying(b"220 smtp ready\r\n\r\n"), "no HTTP"),
    "endless headers": (saying(b"HTTP/1.1 200 OK\r\nx: ", *[b"y" * 60_000] * 9), "no HTTP|reset"),
    "endless body": (saying(b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 65_536] * 40), "more than 262144 bytes"),
    "too long": (saying(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", b"x" * 400_000), "more than 262144"),
    "a redirect": (saying(reply(b"", status=b"302 Found", more=b"Location: http://a/\r\n")), "got status 302"),
    "an error": (saying(reply(b"{}", status=b"500 Oops")), "got status 500"),
    "cut short": (saying(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"label"'), "no HTTP"),
    "no json": (saying(reply(b"<html>")), "answer that is none"),
    "no label": (saying(reply(b'{"score": 0.9}')), "answer that is none"),
    "another kind": (saying(reply(b'{"label": 3, "score": 0.9}')), "answer that is none"),
    "too sure": (saying(reply(b'{"label": "x", "score": 1e9}')), "answer that is none"),
    "not a number": (saying(reply(b'{"label": "x", "score": NaN}')), "answer that is none"),
    "a long label": (saying(reply(b'{"label": "%s", "score": 0.9}' % (b"x" * 9999))), "answer that is none"),
    "a deep nest": (saying(reply(b'{"a":' + b"[" * 100_000)), "answer that is none"),
    "bytes that are no text": (saying(reply(b'{"label": "\xff\xfe", "score": 0.9}')), "answer that is none"),
    "less sure": (saying(reply(b'{"label": "x", "score": 0.1}')), "is not surer"),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_an_answer_that_is_none_leaves_the_local_one(make: Callable[..., Offloader], name: str) -> None:
    answer, says = HOSTILE[name]
    with listening(answer) as port:
        offloader = make(url(port))
        offloader.servers.probe()
        outcome = ask(offloader)
    assert (outcome.answered_by, outcome.label, outcome.score) == ("local", "green", 0.2)
    assert any(part in outcome.reason for part in says.split("|")), outcome.reason


def test_an_answer_that_drips_ends_at_the_deadline(make: Callable[..., Offloader]) -> None:
    drip = saying(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n", *[b" "] * 40, pause_s=0.1)
    with listening(drip) as port:
        offloader = make(url(port), max_latency_ms=SHORT_MS)
        offloader.servers.probe()
        outcome = ask(offloader)
    assert "no answer in time" in outcome.reason


def test_the_thread_measures_on_its_own_and_ends(make: Callable[..., Offloader], tiny_model: Path) -> None:
    with serving(tiny_model) as server:
        offloader = make(url(server.port), url(unused_port()), probe_every_s=1.0)
        offloader.start()
        for _ in itertools.repeat(None, 500):
            if offloader.servers.known()[0].round_trip_ms is not None:
                break
            time.sleep(0.02)
        assert ask(offloader).answered_by == url(server.port)
        offloader.close()
        assert not [one for one in threading.enumerate() if one.name == "offload-probe"]


def test_tls_and_the_key_are_asked_for(
    make: Callable[..., Offloader], tiny_model: Path, tmp_path: Path
) -> None:
    cert, private = certificate(tmp_path)
    key = tmp_path / "key"
    key.write_text("s3cret\nmore\n")
    other = tmp_path / "other"
    other.write_text("wrong\n")
    with serving(tiny_model, key_file=key, certificate=cert, private_key=private) as server:
        https = f"https://localhost:{server.port}"
        good = make(https, key_file=key, ca_file=cert)
        good.servers.probe()
        assert ask(good).answered_by == https
        wrong = make(https, key_file=other, ca_file=cert)
        wrong.servers.probe()
        assert "got status 401" in ask(wrong).reason
        unknown = make(https, key_file=key)
        unknown.servers.probe()
        assert "does not answer: localhost" in (reason := ask(unknown).reason) and "self-signed" in reason


def test_the_server_refuses_what_is_no_picture_and_goes_on(tiny_model: Path) -> None:
    with serving(tiny_model) as server:
        for request, status in (
            (b"POST /v1/predict HTTP/1.1\r\nContent-Type: image/jpeg\r\n\r\n", b"411"),
            (
                b"POST /v1/predict HTTP/1.1\r\nContent-Type: image/jpeg\r\nContent-Length: 99999999\r\n\r\n",
                b"413",
            ),
            (b"POST /v1/predict HTTP/1.1\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nab", b"415"),
            (b"POST /v1/predict HTTP/1.1\r\nContent-Type: image/jpeg\r\nContent-Length: 2\r\n\r\nab", b"422"),
            (b"POST /etc/passwd HTTP/1.1\r\nContent-Length: 2\r\n\r\nab", b"404"),
            (b"GET /v1/predict HTTP/1.1\r\n\r\n", b"404"),
            (b"nonsense\r\n\r\n", b"400"),
        ):
            with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
                client.sendall(request)
                client.shutdown(socket.SHUT_WR)
                answer = b"".join(iter(lambda client=client: client.recv(65_536), b""))  # type: ignore[misc]  # mypy types no lambda with a default
            assert status in answer[:400], (request, answer[:200])
        body = encode_input(RED).data
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
            head = f"POST /v1/predict HTTP/1.1\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n\r\n"
            client.sendall(head.encode() + body)
            answer = b"".join(iter(lambda: client.recv(65_536), b""))
    told = json.loads(answer.split(b"\r\n\r\n", 1)[1])
    assert told["label"] == "red" and told["result"]["categories"][0]["label"] == "red"


def test_a_server_for_others_needs_a_key(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"0\.0\.0\.0 can be reached by others; give a key"):
        OffloadServer(tiny_model, ServeOptions(host="0.0.0.0", port=0))
    empty = tmp_path / "empty"
    empty.write_text("\n")
    with pytest.raises(InvalidSettings, match="got no key in its first line"):
        OffloadServer(tiny_model, ServeOptions(port=0, key_file=empty))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"enabled": True}, "there is nobody to ask"),
        ({"servers": ("mqtt://a",)}, "expected http"),
        ({"servers": ("http://a:99999",)}, "expected http"),
        ({"servers": ("http://user:secret@a",)}, "expected nothing but"),
        ({"servers": ("http://a/path",)}, "expected nothing but"),
        ({"servers": ("http://a",), "key_file": Path("k")}, "would get the key"),
    ],
)
def test_contradictions_are_found(settings: dict[str, Any], says: str) -> None:
    servers = tuple(OffloadServerSettings(url=one) for one in settings.pop("servers", ()))
    (problem,) = offload_problems(OffloadSettings(servers=servers, **settings))
    assert says in problem.message


def test_keys_and_authorities_that_cannot_be_read_are_said(tmp_path: Path) -> None:
    settings = OffloadSettings(
        servers=(OffloadServerSettings(url="https://localhost"),),
        key_file=tmp_path / "no",
        ca_file=tmp_path / "no",
    )
    with pytest.raises(InvalidSettings) as caught:
        Offloader(settings, Gate(PrivacySettings(), None))
    assert [problem.where for problem in caught.value.problems] == ["offload.ca_file", "offload.key_file"]
