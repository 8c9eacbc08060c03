"""Judging and notifying, with a real file and a real HTTP receiver."""

import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from fleet.real_parts import Server, wait_until
from fleet.simulated import SimulatedDevice

from edgewise_fleet.alerts import AlertBook, AlertWatch, Heard, RuleFile, Silence, make_channels, parse_rules
from edgewise_fleet.errors import BadRules
from edgewise_fleet.panel_db import PanelDb
from edgewise_fleet.store import EventRow
from edgewise_fleet.summary import Condition, DeviceSummary, FleetSummary
from edgewise_messages import Channel, DeviceAddress, Event

NOW = 1_790_000_000_000
HOT = """
builtin = false
[notify]
webhooks = ["{url}/hook"]
webhook_secret = "s3cret"
apprise = ["json://{host}/apprise"]
group_wait_s = 10
[[rule]]
name = "hot"
kind = "metric"
metric = "board.temperature_c"
above = 80
cause = "at {{value}}"
remedy = "cool it"
[[rule]]
name = "rolled-back"
kind = "event"
events = ["update.rolled-back"]
clear_after_s = 1000
"""


@dataclass
class Receiver:
    """A real HTTP server that keeps what it gets, and can be told to refuse."""

    got: list[tuple[str, dict[str, Any], bool]] = field(default_factory=list)
    answer: int = 200
    server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                digest = hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
                signed = self.headers.get("X-Edgewise-Signature") == f"sha256={digest}"
                if receiver.answer == 200:
                    receiver.got.append((self.path, json.loads(body), signed))
                self.send_response(receiver.answer)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def host(self) -> str:
        assert self.server
        return f"127.0.0.1:{self.server.server_port}"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    made.start()
    yield made
    assert made.server
    made.server.shutdown()
    made.server.server_close()


@dataclass
class HandFleet:
    """A fleet whose temperatures the test sets."""

    celsius: dict[str, float] = field(default_factory=dict)
    stored: tuple[EventRow, ...] = ()

    def summary(self) -> FleetSummary:
        devices = tuple(
            DeviceSummary(
                group="shop",
                device=name,
                condition=Condition.ONLINE,
                since_ms=NOW,
                last_seen_ms=NOW + 10**9,
                metrics={"board.temperature_c": value},
            )
            for name, value in self.celsius.items()
        )
        return FleetSummary(now_ms=NOW, devices=devices, records=0, duplicates=0, malformed=0)

    def events(self, address: DeviceAddress, *, predictions: bool, limit: int) -> tuple[EventRow, ...]:
        return self.stored


@dataclass
class Desk:
    """A watch with a clock of the test's; judged and delivered by hand."""

    fleet: HandFleet
    book: AlertBook
    rules: RuleFile
    now_ms: int = NOW
    watch: AlertWatch = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.watch = AlertWatch(
            self.fleet, self.book, self.rules, make_channels(self.rules.notify), now_ms=lambda: self.now_ms
        )

    def step(self, seconds: float) -> None:
        self.now_ms += int(seconds * 1000)
        self.watch.judge()
        self.watch.deliver()


@pytest.fixture
def desk(receiver: Receiver, tmp_path: Path) -> Iterator[Desk]:
    db = PanelDb(tmp_path / "panel")
    text = HOT.format(url=f"http://{receiver.host}", host=receiver.host)
    yield Desk(HandFleet(), AlertBook(db), parse_rules(text, where="test"))
    db.close()


def test_alerts_raised_together_come_in_one_signed_notification_with_cause_and_remedy(
    desk: Desk, receiver: Receiver
) -> None:
    desk.fleet.celsius = {"a": 85.0, "b": 20.0}
    desk.step(0)
    desk.fleet.celsius = {"a": 85.0, "b": 90.0}
    desk.step(5)
    assert receiver.got == []
    desk.step(5)
    assert [path for path, _, _ in receiver.got] == ["/hook", "/apprise"]
    _, notice, signed = receiver.got[0]
    assert signed
    assert [(one["device"], one["state"], one["cause"]) for one in notice["alerts"]] == [
        ("a", "raised", "at 85"),
        ("b", "raised", "at 90"),
    ]
    assert "What to do: cool it" in notice["text"]
    assert "What to do: cool it" in receiver.got[1][1]["message"]
    desk.step(60)
    assert len(receiver.got) == 2
    desk.fleet.celsius = {"a": 20.0, "b": 90.0}
    desk.step(5)
    desk.step(10)
    assert receiver.got[-2][1]["alerts"][0]["state"] == "cleared"


def test_a_receiver_that_refuses_is_asked_again_later_and_over_a_restart(
    desk: Desk, receiver: Receiver
) -> None:
    receiver.answer = 503
    desk.fleet.celsius = {"a": 85.0}
    desk.step(0)
    desk.step(10)
    count, trouble = desk.book.waiting()
    assert count == 2
    assert "apprise" in trouble or "answered 503" in trouble
    receiver.answer = 200
    desk.step(1)
    assert receiver.got == []
    desk.restart()
    desk.step(6)
    assert len(receiver.got) == 2
    assert desk.book.waiting() == (0, "")
    desk.step(100)
    assert len(receiver.got) == 2


def test_a_silenced_alert_is_kept_and_told_when_the_silence_ends_if_it_still_holds(
    desk: Desk, receiver: Receiver
) -> None:
    desk.book.add_silence(Silence(until_ms=NOW + 60_000, devices=("a",)), made_by="ann")
    desk.fleet.celsius = {"a": 85.0}
    desk.step(0)
    desk.step(20)
    assert receiver.got == []
    assert [kept.alert.rule for kept in desk.book.active()] == ["hot"]
    desk.step(50)
    desk.step(10)
    assert len(receiver.got) == 2


def test_an_event_that_came_while_nobody_judged_is_not_missed(desk: Desk) -> None:
    desk.fleet.celsius = {"a": 20.0}
    desk.step(0)
    event = Event(ts_ms=NOW, mono_ns=1, boot="b", seq=1, name="update.rolled-back", message="was taken back")
    desk.fleet.stored = (EventRow(NOW + 100, event),)
    desk.restart()
    desk.step(1)
    assert [kept.alert.cause for kept in desk.book.active()] == ["was taken back"]


def test_events_are_taken_as_they_are_stored(desk: Desk) -> None:
    desk.fleet.celsius = {"a": 20.0}
    event = Event(ts_ms=NOW, mono_ns=1, boot="b", seq=1, name="update.rolled-back", message="bad")
    desk.watch.hear(Heard(DeviceAddress("shop", "a"), event, NOW))
    desk.step(1)
    assert [kept.alert.rule for kept in desk.book.active()] == ["rolled-back"]
    desk.restart()
    desk.step(500)
    assert len(desk.book.active()) == 1
    desk.step(600)
    assert desk.book.active() == ()
    assert [kept.alert.rule for kept in desk.book.history(limit=5)] == ["rolled-back"]


def test_an_address_that_apprise_does_not_know_is_refused_without_its_secrets() -> None:
    rules = parse_rules('[notify]\napprise = ["nosuch://user:hunter2@host"]', where="test")
    with pytest.raises(BadRules) as caught:
        make_channels(rules.notify)
    assert "hunter2" not in str(caught.value)


def test_a_real_server_notifies_a_real_receiver_and_lists_the_alert(
    serve: Callable[..., Server],
    device: Callable[..., SimulatedDevice],
    receiver: Receiver,
    tmp_path: Path,
) -> None:
    (tmp_path / "alerts.toml").write_text(
        f'[notify]\nwebhooks = ["http://{receiver.host}/hook"]\ngroup_wait_s = 0\n'
    )
    server = serve("--alerts", "alerts.toml")
    camera = device("camera", port=server.mqtt_port)
    camera.introduce()
    said = "p95 rose from 20 to 44 ms because the processor is hot"
    camera.publish(camera.event("latency.rose", message=said), channel=Channel.EVENT)
    wait_until(lambda: receiver.got, "the receiver is told")
    assert receiver.got[0][1]["alerts"][0]["cause"] == said
    listed = json.loads(server.get("/api/v1/alerts"))
    assert [one["cause"] for one in listed["alerts"]] == [said]
