import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from device_agent.agent_parts import FakeTime

from edgewise_agent.errors import OutboxError
from edgewise_agent.outbox import outbox as outbox_module
from edgewise_agent.outbox.batches import BATCH_BYTES, Batch
from edgewise_agent.outbox.file import FULL_AT
from edgewise_agent.outbox.outbox import Outbox
from edgewise_agent.outbox.replay_rate import ReplayRate

MIB = 1024 * 1024


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


def body(size: int = 40) -> Callable[[int], bytes]:
    return lambda seq: str(seq).encode().ljust(size, b".")


def fill(outbox: Outbox, count: int, *, channel: str = "telemetry", size: int = 40) -> list[int]:
    sequences = [outbox.append(channel, body(size)) for _ in range(count)]
    assert outbox.commit()
    return sequences


def drain(outbox: Outbox, *, settle: bool = True) -> list[int]:
    """Everything it gives out, acknowledged at once."""
    taken: list[int] = []
    while batches := outbox.lease():
        for batch in batches:
            taken += [int(text.decode().rstrip(".")) for text in batch.bodies]
            assert taken[-len(batch.sequences) :] == list(batch.sequences)
            if settle:
                outbox.settle(batch)
    return taken


def opened(path: Path, *, max_bytes: int = 64 * MIB, memory_bytes: int = MIB) -> Outbox:
    return Outbox(path, max_bytes=max_bytes, memory_bytes=memory_bytes)


def test_records_come_out_in_order_and_once(path: Path) -> None:
    outbox = opened(path)
    sequences = fill(outbox, 250)
    assert sequences == list(range(1, 251))
    assert drain(outbox) == sequences
    assert not outbox.has_more
    assert outbox.state().records == 0
    outbox.close()


def test_a_record_is_not_given_out_before_it_is_durable(path: Path) -> None:
    outbox = opened(path)
    outbox.append("telemetry", body())
    assert not outbox.has_more
    assert outbox.lease() == []
    outbox.append("telemetry", body(), durable=True)
    assert drain(outbox) == [1, 2]
    outbox.close()


def test_a_batch_has_one_channel_and_a_bounded_size(path: Path) -> None:
    outbox = opened(path)
    for number in range(90):
        outbox.append("event" if number % 3 else "telemetry", body(2000))
    outbox.append("drift", body(2 * BATCH_BYTES))
    outbox.commit()
    batches: list[Batch] = []
    while taken := outbox.lease():
        batches += taken
    assert {batch.channel for batch in batches} == {"telemetry", "event", "drift"}
    for channel in ("telemetry", "event"):
        order = [seq for batch in batches if batch.channel == channel for seq in batch.sequences]
        assert order == sorted(order)
    assert sum(len(batch.sequences) for batch in batches) == 91
    large = [batch for batch in batches if sum(map(len, batch.bodies)) > BATCH_BYTES]
    assert [len(batch.bodies) for batch in large] == [1], "only what is too large by itself, and alone"
    outbox.close()


def test_what_was_not_acknowledged_is_given_out_again_after_a_release(path: Path) -> None:
    outbox = opened(path)
    fill(outbox, 300)
    (first,) = outbox.lease()
    assert len(first.sequences) == 100
    outbox.settle(first)
    outbox.lease()
    outbox.release()
    assert drain(outbox) == list(range(101, 301))
    outbox.close()


def test_what_was_acknowledged_is_gone_after_a_restart_and_the_rest_is_not(path: Path) -> None:
    outbox = opened(path)
    fill(outbox, 150)
    outbox.settle(outbox.lease()[0])
    outbox.close()
    again = opened(path)
    assert again.state().records == 50
    assert drain(again) == list(range(101, 151))
    again.close()


def test_numbers_go_on_after_a_restart_even_when_nothing_is_left(path: Path) -> None:
    outbox = opened(path)
    fill(outbox, 5)
    drain(outbox)
    outbox.close()
    again = opened(path)
    assert fill(again, 1) == [6]
    again.close()


def test_one_thread_appends_while_others_commit_and_send(path: Path) -> None:
    outbox = opened(path)
    stop = threading.Event()
    committer = threading.Thread(target=outbox.keep_committing, args=(stop, 0.001))
    committer.start()
    seen: list[int] = []

    def send() -> None:
        while not (stop.is_set() and not outbox.has_more):
            seen.extend(drain(outbox))

    sender = threading.Thread(target=send)
    sender.start()
    appended = [outbox.append("event", body()) for _ in range(5000)]
    outbox.commit()
    stop.set()
    outbox.wake()
    committer.join(30)
    sender.join(30)
    assert seen == appended
    outbox.close()
    again = opened(path)
    assert again.state().records == 0
    again.close()


def test_many_acknowledgements_are_written_down_without_a_new_record(path: Path) -> None:
    outbox = opened(path)
    fill(outbox, 600)
    stop = threading.Event()
    committer = threading.Thread(target=outbox.keep_committing, args=(stop, 0.0))
    committer.start()
    drain(outbox)
    stop.set()
    outbox.wake()
    committer.join(30)
    outbox.close()
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT count(*) FROM records").fetchone() == (0,)
    database.close()


def test_a_caller_faster_than_the_disk_loses_nothing(path: Path) -> None:
    outbox = opened(path, memory_bytes=10_000)
    for _ in range(500):
        outbox.append("telemetry", body(400))
    outbox.commit()
    assert drain(outbox) == list(range(1, 501))
    assert outbox.state().dropped == 0
    outbox.close()


# Full


def test_a_full_outbox_is_thinned_and_keeps_the_whole_span(path: Path) -> None:
    outbox = opened(path, max_bytes=2 * MIB)
    for _ in range(100):
        fill(outbox, 200, size=400)
    state = outbox.state()
    kept = drain(outbox)
    assert state.dropped == 20_000 - len(kept) > 0
    assert kept[-500:] == list(range(19_501, 20_001)), "the newest are all there"
    assert kept[0] < 64, "the oldest stretch is thinned, not lost"
    gaps = [later - earlier for earlier, later in itertools.pairwise(kept)]
    assert max(gaps) <= 64, "and no part of it is much coarser than the rest"
    outbox.close()


@pytest.mark.parametrize("size", [40, 1000, 20_000])
def test_the_smallest_outbox_lives_through_a_burst_of_any_records(path: Path, size: int) -> None:
    outbox = opened(path, max_bytes=MIB)
    for _ in range(3 * MIB // size):
        outbox.append("telemetry", body(size))
    assert outbox.commit()
    state = outbox.state()
    assert not state.disk_refuses
    assert state.dropped > 0
    assert len(drain(outbox)) == 3 * MIB // size - state.dropped
    outbox.close()


def test_thinning_spares_the_rarer_channel_its_share(path: Path) -> None:
    outbox = opened(path, max_bytes=MIB)
    for _ in range(2000):
        outbox.append("telemetry", body(400))
        for _ in range(3):
            outbox.append("event", body(400))
        outbox.commit()
    channels = [batch.channel for batch in iter_batches(outbox) for _ in batch.sequences]
    assert 0.15 < channels.count("telemetry") / len(channels) < 0.35
    outbox.close()


def iter_batches(outbox: Outbox) -> Iterator[Batch]:
    while batches := outbox.lease():
        yield from batches


def test_the_files_stay_within_the_allowed_size_and_the_log(path: Path) -> None:
    outbox = opened(path, max_bytes=2 * MIB)
    for _ in range(80):
        fill(outbox, 200, size=400)
        assert path.stat().st_size <= 2 * MIB
        assert outbox.state().size_bytes <= 2 * MIB + 3 * MIB
    outbox.close()


def test_the_count_of_dropped_records_survives_a_restart(path: Path) -> None:
    outbox = opened(path, max_bytes=MIB)
    for _ in range(30):
        fill(outbox, 200, size=400)
    dropped = outbox.state().dropped
    outbox.close()
    again = opened(path, max_bytes=MIB)
    assert again.state().dropped == dropped > 0
    again.close()


def test_what_is_on_its_way_is_not_thinned(path: Path) -> None:
    outbox = opened(path, max_bytes=MIB)
    fill(outbox, 200, size=400)
    under_way = [seq for batch in outbox.lease() for seq in batch.sequences]
    for _ in range(30):
        fill(outbox, 200, size=400)
    outbox.release()
    assert set(under_way) <= set(drain(outbox))
    outbox.close()


# Damage


def test_a_damaged_file_is_set_aside_and_told_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    outbox = opened(path)
    fill(outbox, 2000, size=400)
    outbox.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(40 * 4096))
    again = opened(path)
    assert again.state().records == 0
    assert len(list(path.parent.glob("outbox.db.damaged-*"))) == 1
    assert [line for line in caplog.messages if "damaged outbox set aside as outbox.db.damaged-" in line]
    assert ["damaged outbox" in notice.message for notice in again.take_notices()] == [True]
    assert again.take_notices() == []
    fill(again, 3)
    assert len(drain(again)) == 3
    again.close()


@pytest.mark.parametrize(
    "content", [b"not a database at all, but a text that somebody wrote here", b"\0" * 5000]
)
def test_a_file_that_is_no_database_is_set_aside(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    outbox = opened(path)
    fill(outbox, 1)
    assert drain(outbox) == [1]
    outbox.close()
    (kept,) = path.parent.glob("outbox.db.damaged-*")
    assert kept.read_bytes() == content


def test_a_truncated_file_is_set_aside(path: Path) -> None:
    outbox = opened(path)
    fill(outbox, 2000, size=400)
    outbox.close()
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    again = opened(path)
    assert again.take_notices()
    again.close()


def test_only_the_newest_damaged_file_is_kept(path: Path) -> None:
    (path.parent / "outbox.db.damaged-20200101T000000Z").write_text("old")
    path.write_bytes(b"rubbish" * 1000)
    opened(path).close()
    (kept,) = path.parent.glob("outbox.db.damaged-*")
    assert kept.read_bytes().startswith(b"rubbish")


def test_an_empty_file_is_a_new_outbox(path: Path) -> None:
    path.touch()
    outbox = opened(path)
    assert fill(outbox, 1) == [1]
    assert outbox.take_notices() == []
    outbox.close()


def test_damage_while_running_costs_the_old_file_and_not_the_agent(path: Path) -> None:
    outbox = opened(path)
    fill(outbox, 10_000, size=400)
    damage_on_disk(path)
    drain(outbox)
    for _ in range(3):
        outbox.append("telemetry", body())
        outbox.commit()
    assert list(path.parent.glob("outbox.db.damaged-*"))
    assert outbox.take_notices()
    assert drain(outbox)[-3:] == [10_001, 10_002, 10_003], "numbers go on, and records made since arrive"
    outbox.close()


def damage_on_disk(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))


def test_a_torn_last_write_loses_only_that_write(path: Path, tmp_path: Path) -> None:
    """The log is cut at every length a pulled plug could leave; what was committed before stays."""
    outbox = opened(path)
    fill(outbox, 10, size=400)
    whole_before = (tmp_path / "outbox.db-wal").stat().st_size
    fill(outbox, 10, size=400)
    log, main = (tmp_path / "outbox.db-wal").read_bytes(), path.read_bytes()
    assert len(log) > whole_before
    for cut in range(whole_before, len(log), 509):
        torn = tmp_path / f"torn-{cut}.db"
        torn.write_bytes(main)
        torn.with_name(f"{torn.name}-wal").write_bytes(log[:cut] + b"\xa5" * min(300, len(log) - cut))
        again = opened(torn)
        assert drain(again) == list(range(1, 11))
        assert again.take_notices() == []
        again.close()
    outbox.close()


# Refusing disks

CHILD = """
import resource, sys
from pathlib import Path
from edgewise_agent.outbox.outbox import Outbox
outbox = Outbox(Path(sys.argv[1]), max_bytes=64 * 1024 * 1024, memory_bytes=100_000)
body = lambda seq: str(seq).encode().ljust(400, b".")
for _ in range(200):
    outbox.append("telemetry", body)
assert outbox.commit()
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
while outbox.commit() and outbox.append("telemetry", body) < 100_000:
    pass
state = outbox.state()
assert state.disk_refuses and state.records > 200, state
accepted = []
while batches := outbox.lease():
    accepted += [seq for batch in batches for seq in batch.sequences]
assert accepted == list(range(1, len(accepted) + 1)), "what only memory has is sent too"
for _ in range(2000):
    outbox.append("telemetry", body)
state = outbox.state()
assert state.dropped > 1000, state
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert outbox.commit()
assert not outbox.state().disk_refuses
outbox.close()
again = Outbox(Path(sys.argv[1]), max_bytes=64 * 1024 * 1024)
assert again.state().dropped == state.dropped and again.state().records == state.records
again.close()
print("went on")
"""


def test_a_full_disk_is_lived_through_with_bounded_memory_and_every_loss_counted(path: Path) -> None:
    """A file size limit refuses writes like a full disk does, and needs no privileges to set up."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, os.fspath(path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "went on\n", done.stderr
    assert "Traceback" not in done.stderr


RESTARTED_CHILD = """
import resource, sys
from pathlib import Path
from edgewise_agent.outbox.outbox import Outbox
from edgewise_agent.state_folder import StateFolder
body = lambda seq: str(seq).encode().ljust(400, b".")
path = Path(sys.argv[1])
with StateFolder(path) as state:
    outbox = Outbox(state.outbox, max_bytes=2**20)
    outbox.append("telemetry", body, durable=True)
    outbox.close()
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
with StateFolder(path) as state:
    outbox = Outbox(state.outbox, max_bytes=2**20)
    outbox.append("telemetry", body, durable=True)
    assert outbox.state().disk_refuses
    assert [seq for batch in outbox.lease() + outbox.lease() for seq in batch.sequences] == [2, 1]
    outbox.close()
print("went on")
"""


def test_a_restart_on_a_full_disk_sends_what_is_on_it_and_what_is_new(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RESTARTED_CHILD, os.fspath(tmp_path / "state")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "went on\n", done.stderr


def test_a_folder_that_cannot_be_written_is_an_error_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(OutboxError, match="unable to open database file"):
        opened(tmp_path / "missing" / "outbox.db")


def test_a_file_of_a_later_version_is_left_alone(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version=99")
    database.close()
    before = path.read_bytes()
    with pytest.raises(OutboxError, match="later version"):
        opened(path)
    assert path.read_bytes() == before


def test_a_second_process_is_refused_and_told_why(path: Path) -> None:
    outbox = opened(path)
    with pytest.raises(OutboxError, match="another process has it open"):
        opened(path)
    outbox.close()


# Killed

APPENDING_CHILD = """
import sys
from pathlib import Path
from edgewise_agent.outbox.outbox import Outbox
outbox = Outbox(Path(sys.argv[1]), max_bytes=64 * 1024 * 1024)
while True:
    seq = outbox.append("event", lambda seq: str(seq).encode().ljust(40, b"."), durable=True)
    sys.stdout.write(f"{seq}\\n")
    sys.stdout.flush()
"""


def test_every_record_that_was_reported_durable_is_there_after_kill_9(path: Path) -> None:
    reported = 0
    for round_number in range(1, 4):
        child = subprocess.Popen(
            [sys.executable, "-c", APPENDING_CHILD, os.fspath(path)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        for line in child.stdout:
            reported = int(line)
            if reported >= 300 * round_number:
                child.send_signal(signal.SIGKILL)
                break
        reported = max([reported, *map(int, child.stdout.read().split())])
        child.wait()
        child.stdout.close()
    outbox = opened(path)
    kept = drain(outbox)
    assert kept == list(range(1, len(kept) + 1))
    assert len(kept) >= reported >= 900
    outbox.close()


def test_limits_fit_each_other() -> None:
    from edgewise_messages.codec import MAX_MESSAGE_BYTES

    assert BATCH_BYTES * 2 + 1000 < MAX_MESSAGE_BYTES
    assert outbox_module._WRITE_SHARE * (1 - FULL_AT) >= 2


# Live before replay


def test_after_an_outage_new_records_go_out_before_those_that_waited(path: Path) -> None:
    outbox = opened(path)
    fill(outbox, 250)
    outbox.release()
    fill(outbox, 5)
    (live,) = outbox.lease()
    assert live.sequences == (251, 252, 253, 254, 255)
    assert drain(outbox) == list(range(1, 251)), "what waited comes oldest first"
    outbox.close()


def test_replay_keeps_to_its_rate_and_live_records_do_not(path: Path) -> None:
    time = FakeTime()
    outbox = Outbox(path, max_bytes=64 * MIB, replay=ReplayRate(50.0, now_s=time.now_s))
    fill(outbox, 1000)
    outbox.release()
    assert len(drain(outbox)) == 100, "what was saved up while nothing was sent"
    assert outbox.has_more
    fill(outbox, 500)
    assert drain(outbox) == list(range(1001, 1501))
    replayed = 0
    for _ in range(100):
        time.pass_s(0.1)
        replayed += len(drain(outbox))
    assert 450 <= replayed <= 500
    assert len([seq for batch in outbox.lease(hurry=True) for seq in batch.sequences]) == 100
    outbox.close()


def test_what_was_given_back_comes_out_after_resume_and_what_is_under_way_does_not(path: Path) -> None:
    outbox = opened(path)
    fill(outbox, 3)
    fill(outbox, 3, channel="event")
    event, telemetry = outbox.lease()
    outbox.give_back(event)
    assert outbox.lease() == []
    outbox.resume()
    assert [batch.sequences for batch in outbox.lease()] == [(4, 5, 6)], "telemetry is still under way"
    outbox.settle(telemetry)
    outbox.close()


# Earlier versions of the file

V1 = """
CREATE TABLE records (seq INTEGER PRIMARY KEY AUTOINCREMENT, channel TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO counters VALUES ('dropped', 7);
INSERT INTO records VALUES (41, 'event', X'3431'), (42, 'event', X'3432');
PRAGMA user_version=1;
"""


def write_v1(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode=WAL")
    database.executescript(V1)
    database.close()


def test_an_outbox_of_the_first_version_is_taken_over(path: Path) -> None:
    write_v1(path)
    outbox = opened(path)
    assert outbox.state().dropped == 7
    assert drain(outbox, settle=False) == [41, 42]
    outbox.quarantine(outbox_batch(41), "a test")
    assert fill(outbox, 1) == [43]
    outbox.close()
    again = opened(path)
    assert (again.state().quarantined, again.state().records) == (1, 2)
    again.close()


def outbox_batch(seq: int) -> Batch:
    return Batch("event", (str(seq).encode(),), (seq,))


V1_CHILD = """
import resource, sys
from pathlib import Path
from edgewise_agent.outbox.outbox import Outbox
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
outbox = Outbox(Path(sys.argv[1]), max_bytes=2**20)
assert outbox.boots() == []
assert [seq for batch in outbox.lease() for seq in batch.sequences] == [41, 42]
assert outbox.append("event", lambda seq: b"x", durable=True) == 43
assert outbox.state().disk_refuses
print("went on")
"""


def test_an_outbox_of_the_first_version_opens_on_a_full_disk_too(path: Path) -> None:
    write_v1(path)
    done = subprocess.run(
        [sys.executable, "-c", V1_CHILD, os.fspath(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "went on\n", done.stderr
