"""The courier against a connection that does as it is told; test_agent_process.py has real brokers."""

import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from device_agent.agent_parts import ADDRESS
from fleet.real_parts import wait_until

from edgewise_agent.connection.backoff import Backoff
from edgewise_agent.connection.courier import Courier
from edgewise_agent.connection.deliveries import WINDOW, Refusal
from edgewise_agent.errors import BrokerError
from edgewise_agent.outbox.batches import Batch
from edgewise_agent.outbox.outbox import Outbox
from edgewise_agent.wire.json_profile import JsonProfile
from edgewise_agent.wire.message import AT_MOST_ONCE, Message
from edgewise_agent.wire.profile import Opening, Profile, Session, Turn
from edgewise_messages import Channel, Event, Meta, decode_records, encode_record, join_encoded


class ScriptedConnection:
    """Acknowledges at once while ``answers``; ends at the next turn when told to."""

    def __init__(self, on_acknowledged: Callable[[int], None], on_message: Callable[[Message], None]) -> None:
        self.sent: list[Message] = []
        self.answers = True
        self.ends = False
        self.closed = False
        self._on_acknowledged = on_acknowledged
        self.on_message = on_message
        self._owed: list[int] = []

    def connect(self) -> None:
        pass

    def subscribe(self, topic: str) -> None:
        pass

    def publish(self, message: Message) -> int:
        self.sent.append(message)
        if message.qos == AT_MOST_ONCE:
            self._on_acknowledged(len(self.sent))
        else:
            self._owed.append(len(self.sent))
        return len(self.sent)

    def run(self, timeout_s: float) -> None:
        if self.ends:
            raise BrokerError("told to end")
        if self.answers:
            owed, self._owed = self._owed, []
            for number in owed:
                self._on_acknowledged(number)
        threading.Event().wait(0.001)

    def close(self) -> None:
        self.closed = True

    @property
    def sequences(self) -> list[int]:
        records = [message for message in self.sent if message.topic == ADDRESS.topic(Channel.EVENT)]
        return [record.seq for message in records for record in decode_records(message.payload).records]


class Setup:
    """A courier on an outbox of its own, and the connections it made."""

    def __init__(
        self,
        folder: Path,
        *,
        first_answers: bool = True,
        stalled_s: float = 60.0,
        profile: Profile | None = None,
    ) -> None:
        self.outbox = Outbox(folder / "outbox.db", max_bytes=2**24)
        self.connections: list[ScriptedConnection] = []
        self.commands: list[tuple[bytes, bool]] = []
        self.wills: list[Message] = []
        self._first_answers = first_answers
        self.courier = Courier(
            self.outbox,
            self._connect,
            profile or self._json(),
            Backoff("x", longest_s=0.1),
            stalled_s=stalled_s,
        )

    def _json(self) -> JsonProfile:
        return JsonProfile(
            ADDRESS,
            boot="b",
            meta=lambda: Meta(ts_ms=1, boot="b"),
            now_ms=lambda: 1,
            responses=queue.SimpleQueue(),
            on_command=lambda payload, retained: self.commands.append((payload, retained)),
        )

    def record(self, count: int) -> None:
        for _ in range(count):
            self.outbox.append(
                Channel.EVENT,
                lambda seq: encode_record(
                    Event(ts_ms=1, mono_ns=1, boot="b", seq=seq, name="n", message="m" * 900)
                ),
            )
        self.outbox.commit()

    def _connect(
        self,
        *,
        will: Message,
        on_acknowledged: Callable[[int], None],
        on_refused: Callable[[int, Refusal], None],
        on_message: Callable[[Message], None],
    ) -> ScriptedConnection:
        self.wills.append(will)
        made = ScriptedConnection(on_acknowledged, on_message)
        made.answers = self._first_answers or bool(self.connections)
        self.connections.append(made)
        return made


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[Callable[..., Setup]]:
    made: list[Setup] = []

    def make(**options: object) -> Setup:
        made.append(Setup(tmp_path, **options))  # type: ignore[arg-type]  # keywords by name, checked when called
        return made[-1]

    yield make
    for one in made:
        one.courier.stop(reason="test", drain_s=0.0)
        one.outbox.close()


def test_everything_is_sent_and_forgotten(setup: Callable[..., Setup]) -> None:
    made = setup()
    made.record(500)
    made.courier.start()
    wait_until(lambda: made.outbox.state().records == 0, "all is acknowledged")
    assert made.connections[0].sequences == list(range(1, 501))


def test_what_is_under_way_is_bounded(setup: Callable[..., Setup]) -> None:
    made = setup(first_answers=False)
    made.record(2000)
    made.courier.start()
    wait_until(lambda: made.connections and len(made.connections[0].sequences) > 0, "it sends")
    threading.Event().wait(0.3)
    on_event_topic = [message for message in made.connections[0].sent if message.topic.endswith("/event")]
    assert len(on_event_topic) == WINDOW
    assert made.outbox.state().records == 2000


def test_a_broker_that_acknowledges_nothing_gets_a_new_connection_and_all_of_it_again(
    setup: Callable[..., Setup],
) -> None:
    made = setup(first_answers=False, stalled_s=0.2)
    made.record(300)
    made.courier.start()
    wait_until(lambda: made.outbox.state().records == 0, "the second connection delivers")
    assert made.connections[0].closed
    assert made.connections[1].sequences == list(range(1, 301))


def test_a_lost_connection_sends_again_what_was_not_acknowledged(setup: Callable[..., Setup]) -> None:
    made = setup()
    made.record(100)
    made.courier.start()
    wait_until(lambda: made.outbox.state().records == 0, "the first hundred are through")
    first = made.connections[0]
    first.answers = False
    made.record(100)
    wait_until(lambda: len(first.sequences) == 200, "the second hundred are under way")
    first.ends = True
    wait_until(lambda: made.outbox.state().records == 0, "the next connection delivers")
    assert made.connections[1].sequences == list(range(101, 201))


def test_only_what_is_on_the_command_topic_is_a_command(setup: Callable[..., Setup]) -> None:
    made = setup()
    made.courier.start()
    wait_until(lambda: made.connections and made.connections[0].sent, "it is connected")
    made.connections[0].on_message(Message(ADDRESS.topic(Channel.STATUS), b"status"))
    made.connections[0].on_message(Message(ADDRESS.topic(Channel.COMMAND), b"command", retain=True))
    assert made.commands == [(b"command", True)]


def test_a_stop_sends_what_waits_and_says_goodbye_last(setup: Callable[..., Setup]) -> None:
    made = setup()
    made.record(300)
    made.courier.start()
    made.courier.stop(reason="test", drain_s=30.0)
    (only,) = made.connections
    assert only.sequences == list(range(1, 301))
    assert b'"state":"stopped"' in only.sent[-1].payload
    assert only.closed
    assert [(b"offline" in will.payload, will.retain) for will in made.wills] == [(True, True)]


class UnsureProfile:
    """Sends at QoS 0 two messages for each batch; leaves the first connection when told to."""

    def __init__(self, unsure_for_s: float) -> None:
        self.unsure_for_s = unsure_for_s
        self.leaves = False

    def begin(self) -> Session:
        return UnsureSession(self)


class UnsureSession:
    def __init__(self, profile: UnsureProfile) -> None:
        self._profile = profile
        self.opening = Opening(Message("will", b""), ())

    def due(self) -> Turn:
        leaves, self._profile.leaves = self._profile.leaves, False
        return Turn(leaves_because="told to leave" if leaves else "")

    def records(self, batch: Batch) -> tuple[Message, ...]:
        return (
            Message("first", b"", qos=AT_MOST_ONCE),
            Message(ADDRESS.topic(Channel.EVENT), join_encoded(list(batch.bodies)), qos=AT_MOST_ONCE),
        )

    def heard(self, message: Message) -> None:
        pass

    def farewell(self, reason: str, *, returns: bool) -> tuple[Message, ...]:
        return (Message("farewell", reason.encode()),)


def test_what_nobody_acknowledges_stays_until_its_time_is_over(setup: Callable[..., Setup]) -> None:
    made = setup(profile=UnsureProfile(0.3))
    made.record(100)
    made.courier.start()
    wait_until(lambda: made.connections and len(made.connections[0].sequences) == 100, "all is sent")
    assert made.outbox.state().records == 100
    wait_until(lambda: made.outbox.state().records == 0, "the time is over")
    assert len(made.connections) == 1


@pytest.mark.parametrize("how", ["lost", "left"])
def test_what_is_unsure_is_sent_again_by_the_next_connection(how: str, setup: Callable[..., Setup]) -> None:
    profile = UnsureProfile(1e6)
    made = setup(profile=profile)
    made.record(100)
    made.courier.start()
    wait_until(lambda: made.connections and len(made.connections[0].sequences) == 100, "all is sent")
    if how == "lost":
        made.connections[0].ends = True
    else:
        profile.leaves = True
    wait_until(lambda: len(made.connections) == 2 and len(made.connections[1].sequences) == 100, "again")
    assert made.outbox.state().records == 100
    assert (made.connections[0].sent[-1].topic == "farewell") == (how == "left")


def test_an_acknowledged_farewell_makes_sure_what_went_before_it(setup: Callable[..., Setup]) -> None:
    made = setup(profile=UnsureProfile(1e6))
    made.record(100)
    made.courier.start()
    made.courier.stop(reason="test", drain_s=30.0)
    assert made.connections[0].sent[-1] == Message("farewell", b"test")
    assert made.outbox.state().records == 0


def test_without_an_acknowledgement_of_the_farewell_nothing_is_sure(setup: Callable[..., Setup]) -> None:
    made = setup(profile=UnsureProfile(1e6))
    made.record(100)
    made.courier.start()
    wait_until(lambda: made.connections and len(made.connections[0].sequences) == 100, "all is sent")
    made.connections[0].answers = False
    made.courier.stop(reason="test", drain_s=0.0)
    assert made.outbox.state().records == 100
