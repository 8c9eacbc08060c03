"""What becomes of records that a broker does not take."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from device_agent.agent_parts import FakeTime

from edgewise_agent.connection.deliveries import LONGEST_PAUSE_S, PAUSE_S, WINDOW, Deliveries, Refusal
from edgewise_agent.connection.suspects import ALONE, TOGETHER
from edgewise_agent.errors import MessageUnsendable
from edgewise_agent.outbox.batches import Batch
from edgewise_agent.outbox.outbox import Outbox
from edgewise_agent.outbox.tables import QUARANTINE_BODY_BYTES, QUARANTINE_ROWS

NOT_NOW = Refusal("Quota exceeded", is_final=False)
NEVER = Refusal("Payload format invalid", is_final=True)


class Setup:
    """Deliveries on a real outbox, and what they published."""

    def __init__(self, path: Path) -> None:
        self.time = FakeTime()
        self.outbox = Outbox(path, max_bytes=2**24)
        self.deliveries = Deliveries(self.outbox, now_s=self.time.now_s)
        self.sent: list[Batch] = []
        self.largest_bytes = 10**9

    def record(self, count: int, *, channel: str = "event", size: int = 40) -> None:
        for _ in range(count):
            self.outbox.append(channel, lambda seq: str(seq).encode().ljust(size, b"."))
        assert self.outbox.commit()

    def publish(self, batch: Batch) -> int:
        if sum(map(len, batch.bodies)) > self.largest_bytes:
            raise MessageUnsendable("too large for this broker")
        self.sent.append(batch)
        return len(self.sent)

    def fill(self) -> list[Batch]:
        before = len(self.sent)
        self.deliveries.fill(lambda batch: [self.publish(batch)])
        return self.sent[before:]

    def deliver_all(self) -> list[int]:
        """Acknowledge everything that comes; the numbers in their order."""
        done = []
        while batches := self.fill():
            for number, batch in enumerate(batches, len(self.sent) - len(batches) + 1):
                self.deliveries.acknowledged(number)
                done += batch.sequences
        return done

    def quarantined(self) -> list[tuple[int, str]]:
        assert self.outbox.commit()
        return rows_of(self.outbox._path)


def rows_of(path: Path) -> list[tuple[int, str]]:
    """From a copy, as the outbox holds its file locked."""
    copy = path.with_name("copy.db")
    for suffix in ("", "-wal"):
        if (source := path.with_name(path.name + suffix)).exists():
            copy.with_name(copy.name + suffix).write_bytes(source.read_bytes())
    database = sqlite3.connect(copy)
    rows = database.execute("SELECT seq, reason FROM quarantine ORDER BY id").fetchall()
    database.close()
    return rows


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[Setup]:
    made = Setup(tmp_path / "outbox.db")
    yield made
    made.outbox.close()


def test_a_refused_record_is_kept_and_sent_again_after_a_pause(setup: Setup) -> None:
    setup.record(10)
    (batch,) = setup.fill()
    setup.deliveries.refused(1, NOT_NOW)
    assert setup.fill() == [], "not at once"
    assert setup.outbox.state().records == 10
    setup.time.pass_s(PAUSE_S)
    assert setup.deliver_all() == list(batch.sequences)
    assert setup.outbox.commit()
    assert setup.outbox.state().records == 0


def test_while_one_channel_is_refused_the_others_go_on(setup: Setup) -> None:
    setup.record(5, channel="event")
    setup.fill()
    setup.deliveries.refused(1, NOT_NOW)
    setup.record(300, channel="event")
    setup.record(300, channel="telemetry")
    assert setup.deliver_all() == list(range(306, 606))
    setup.time.pass_s(PAUSE_S)
    assert sorted(setup.deliver_all()) == list(range(1, 306))


def test_the_pause_of_a_refused_channel_doubles_up_to_its_limit_and_ends_with_an_acknowledgement(
    setup: Setup,
) -> None:
    setup.record(1)
    for number in range(1, 9):
        assert len(setup.fill()) == 1, "the one record comes out again"
        setup.deliveries.refused(number, NOT_NOW)
        length_s = min(PAUSE_S * 2 ** (number - 1), LONGEST_PAUSE_S)
        setup.time.pass_s(length_s - 0.01)
        assert setup.fill() == []
        setup.time.pass_s(0.02)
    assert setup.deliver_all() == [1]
    setup.record(1)
    setup.fill()
    setup.deliveries.refused(len(setup.sent), NOT_NOW)
    setup.time.pass_s(PAUSE_S)
    assert setup.deliver_all() == [2]


def test_of_a_batch_refused_for_ever_only_the_bad_record_is_put_aside(setup: Setup) -> None:
    setup.record(5)
    assert len(setup.fill()) == 1
    setup.deliveries.refused(1, NEVER)
    singles = setup.fill()
    assert [single.sequences for single in singles] == [(1,), (2,), (3,), (4,), (5,)]
    for number in (2, 3, 5, 6):
        setup.deliveries.acknowledged(number)
    setup.deliveries.refused(4, NEVER)
    assert setup.quarantined() == [(3, "the broker says: Payload format invalid")]
    assert setup.outbox.state().records == 0
    assert setup.outbox.state().quarantined == 1
    (notice,) = setup.outbox.take_notices()
    assert notice.name == "record.quarantined"
    assert "record 3 (event, 40 bytes) is not sent any more: the broker says" in notice.message


def test_a_record_larger_than_the_broker_takes_is_put_aside_and_the_others_go(setup: Setup) -> None:
    setup.record(3)
    setup.record(1, size=5000)
    setup.record(3)
    setup.largest_bytes = 1000
    assert setup.deliver_all() == [1, 2, 3, 5, 6, 7]
    assert setup.quarantined() == [(4, "too large for this broker")]


def test_a_record_that_ends_the_connection_each_time_is_found_and_put_aside(setup: Setup) -> None:
    """This broker acknowledges in order until it meets number 7, and then ends the connection."""
    setup.record(20)
    ends = 0
    while not setup.outbox.state().quarantined:
        setup.deliveries.begin()
        sent = setup.fill()
        while 7 not in sent[-1].sequences:
            assert [len(batch.sequences) for batch in sent] == [1], "a suspect is alone under way"
            setup.deliveries.acknowledged(len(setup.sent))
            sent = setup.fill()
        setup.deliveries.ended_by_broker()
        ends += 1
        assert ends < 10
    assert ends == TOGETHER + ALONE
    setup.deliveries.begin()
    assert setup.deliver_all() == list(range(8, 21))
    assert [seq for seq, _ in setup.quarantined()] == [7]


def test_an_end_of_the_connection_after_a_refusal_speaks_against_no_other_record(setup: Setup) -> None:
    setup.record(1, channel="event")
    setup.record(1, channel="telemetry")
    for _ in range(2 * (TOGETHER + ALONE)):
        setup.deliveries.begin()
        first = len(setup.sent)
        setup.fill()
        refused = [
            number for number, batch in enumerate(setup.sent[first:], first + 1) if batch.channel == "event"
        ]
        for number in refused:
            setup.deliveries.refused(number, NOT_NOW)
        setup.deliveries.ended_by_broker()
        setup.time.pass_s(LONGEST_PAUSE_S)
    assert setup.outbox.state().quarantined == 0


def test_a_broker_that_ends_connections_for_reasons_of_its_own_costs_no_record(setup: Setup) -> None:
    """It takes what it gets and ends the connection before most of the acknowledgements have arrived."""
    setup.record(150)
    for channel in ("telemetry", "drift"):
        setup.record(3, channel=channel)
    delivered: set[int] = set()
    for _ in range(400):
        setup.deliveries.begin()
        (first, *_rest) = setup.fill() or [None]
        if first is None:
            break
        setup.deliveries.acknowledged(len(setup.sent) - len(_rest))
        delivered.update(first.sequences)
        setup.fill()
        setup.deliveries.ended_by_broker()
    assert delivered == set(range(1, 157))
    assert setup.outbox.state().quarantined == 0


def test_the_quarantine_is_bounded_and_its_count_outlives_the_process(setup: Setup, tmp_path: Path) -> None:
    setup.largest_bytes = 1
    setup.record(QUARANTINE_ROWS + 20, size=QUARANTINE_BODY_BYTES + 100)
    assert setup.deliver_all() == []
    assert [seq for seq, _ in setup.quarantined()] == list(range(21, QUARANTINE_ROWS + 21))
    setup.outbox.close()
    again = Outbox(tmp_path / "outbox.db", max_bytes=2**24)
    assert again.state().quarantined == QUARANTINE_ROWS + 20
    assert again.state().records == 0
    again.close()
    setup.outbox = Outbox(tmp_path / "outbox.db", max_bytes=2**24)


def test_what_is_under_way_is_bounded(setup: Setup) -> None:
    setup.record(2000)
    assert len(setup.fill()) == WINDOW
    assert setup.fill() == []
