"""Snapshots in the fleet: what is kept and how long, and that no device can send more or else than was asked for."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fleet.real_parts import wait_until
from fleet.simulated import now_ms
from fleet.snapshot_parts import noise_picture, picture, sends, sound
from msgspec.structs import replace

from edgewise_fleet.errors import SnapshotProblem, StoreUnusable
from edgewise_fleet.keys import make_key
from edgewise_fleet.message import Message
from edgewise_fleet.snapshots import KeptSnapshot, Limits, SnapshotBook, SnapshotDesk, State, open_snapshots
from edgewise_fleet.snapshots.assembly import MAX_BYTES
from edgewise_fleet.snapshots.book import STALE_MS
from edgewise_fleet.snapshots.checking import check_snapshot
from edgewise_fleet.snapshots.desk import ANSWER_S, MAX_OPEN, NO_KEY, PAUSE_S, WHOLE_S
from edgewise_fleet.store import Keep, open_store
from edgewise_fleet.upkeep import Keeper, UpkeepSettings
from edgewise_messages import (
    Channel,
    Command,
    DeviceAddress,
    Outcome,
    Response,
    SnapshotChunk,
    decode_notice,
    encode_notice,
)

CAMERA = DeviceAddress("lab", "camera")


def asked(number: int, *, device: str = "camera", at_ms: int | None = None) -> KeptSnapshot:
    asked_ms = 1_000 * number if at_ms is None else at_ms
    return KeptSnapshot(id=f"c-{number}", group="lab", device=device, asked_ms=asked_ms, asked_by="ann")


def here(one: KeptSnapshot) -> KeptSnapshot:
    return replace(one, state=State.HERE, media="image/jpeg")


@pytest.fixture
def book(address: str) -> Iterator[SnapshotBook]:
    open_store(address).close()
    made = open_snapshots(address, Limits(device_count=4, device_bytes=1000, all_bytes=1500))
    yield made
    made.close()


def names(book: SnapshotBook, device: str = "camera") -> list[str]:
    return [one.id for one in book.of_device(DeviceAddress("lab", device))]


def test_the_oldest_go_beyond_the_limits_of_a_device_and_of_all(book: SnapshotBook) -> None:
    for number in range(1, 7):
        book.begin(asked(number))
    assert names(book) == ["c-6", "c-5", "c-4", "c-3"]
    for number in (3, 4, 5):
        assert book.end(here(asked(number)), b"x" * 400, b"t")
    assert names(book) == ["c-6", "c-5", "c-4"], "1,200 bytes were more than a device's 1,000"
    for number in (11, 12):
        book.begin(asked(number, device="other"))
        book.end(here(asked(number, device="other")), b"x" * 450, b"t")
    assert (names(book), names(book, "other")) == (["c-6", "c-5"], ["c-12", "c-11"])
    assert book.content(CAMERA, "c-5") == b"x" * 400 and book.thumbnail(CAMERA, "c-5") == b"t"
    assert book.content(CAMERA, "c-6") is None


def test_what_is_deleted_or_too_old_is_gone_and_does_not_come_back(book: SnapshotBook) -> None:
    book.begin(asked(1))
    book.begin(asked(2))
    assert not book.delete(DeviceAddress("lab", "other"), "c-1"), "of another device"
    assert book.delete(CAMERA, "c-1") and not book.delete(CAMERA, "c-1")
    assert not book.end(here(asked(1)), b"late"), "it arrived after it was deleted"
    assert names(book) == ["c-2"]
    assert book.prune(2_001) == 1
    assert names(book) == []


def test_snapshots_are_kept_as_long_as_records(book: SnapshotBook, address: str) -> None:
    fresh_ms = now_ms()
    book.begin(asked(1, at_ms=fresh_ms - 2 * 86_400_000))
    book.begin(asked(2, at_ms=fresh_ms))
    store = open_store(address)
    keeper = Keeper(store, UpkeepSettings(keep=Keep(raw_days=1)), also=[book.prune])
    keeper.start()
    wait_until(lambda: names(book) == ["c-2"], "the old one is forgotten")
    keeper.stop()
    store.close()


def test_a_request_whose_server_ended_is_told_as_such(book: SnapshotBook) -> None:
    book.begin(asked(1))
    assert book.end_stale(1_000 + STALE_MS) == 0
    assert book.end_stale(1_001 + STALE_MS) == 1
    found = book.find(CAMERA, "c-1")
    assert found is not None and found.state is State.FAILED and "server that asked ended" in found.reason


def test_pictures_lie_in_a_file_of_their_own_for_its_owner_only(tmp_path: Path) -> None:
    book = open_snapshots(str(tmp_path / "fleet.db"))
    book.begin(asked(1))
    book.end(here(asked(1)), b"a picture" * 1000)
    path = tmp_path / "fleet.db-snapshots"
    assert path.stat().st_mode & 0o777 == 0o600
    size = path.stat().st_size
    book.delete(CAMERA, "c-1")
    book.close()
    assert path.stat().st_size < size and b"a picture" not in path.read_bytes()


@pytest.mark.parametrize(
    ("data", "media", "shape"),
    [
        (picture(), "image/jpeg", "640 x 480"),
        (picture(form="PNG"), "image/png", "640 x 480"),
        (sound(), "audio/wav", "1.5 s"),
    ],
)
def test_what_decodes_is_kept_as_what_it_decodes_to(data: bytes, media: str, shape: str) -> None:
    checked = check_snapshot(data, media)
    assert (checked.media, checked.shape) == (media, shape)
    assert bool(checked.thumbnail) is media.startswith("image/")


def bomb(side: int) -> bytes:
    """A PNG that says to be large, with nothing in it."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


PAGE = b"<html><script>alert(1)</script></html>"
DRAWING = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'


@pytest.mark.parametrize(
    ("data", "media", "words"),
    [
        (PAGE, "text/html", "is not shown here, only image/jpeg, image/png, audio/wav"),
        (DRAWING, "image/svg+xml", "is not shown here"),
        (PAGE, "image/jpeg", "cannot be decoded"),
        (DRAWING, "image/png", "cannot be decoded"),
        (picture(form="GIF"), "image/png", "cannot be decoded"),
        (picture(form="PNG"), "image/jpeg", "cannot be decoded"),
        (picture()[:-2000], "image/jpeg", "cannot be decoded"),
        (bomb(9_500), "image/png", "9500 x 9500, expected at most"),
        (bomb(20_000), "image/png", "cannot be decoded"),
        (bomb(8_000), "image/png", "cannot be decoded"),
        (sound()[:-100], "audio/wav", "bytes of sound, expected"),
        (b"RIFF" + PAGE, "audio/wav", "cannot be decoded"),
    ],
)  # fmt: skip
def test_what_does_not_decode_as_what_it_says_to_be_is_refused(data: bytes, media: str, words: str) -> None:
    with pytest.raises(SnapshotProblem, match=words):
        check_snapshot(data, media)


@dataclass
class Wire:
    """The connection, as the desk sees it."""

    connected: bool = True
    sent: list[Command] = field(default_factory=list)

    def publish(self, topic: str, payload: bytes) -> None:
        assert topic.endswith("/command")
        self.sent.append(decode_notice(payload, Command))


@dataclass
class Clock:
    s: float = 0.0


@dataclass
class Desk:
    desk: SnapshotDesk
    wire: Wire
    clock: Clock

    def ask(self, device: str = "camera") -> Command:
        self.desk.ask(DeviceAddress("lab", device), who="ann")
        return self.wire.sent[-1]

    def hear(
        self, *notices: Response | SnapshotChunk, device: str = "camera", retained: bool = False
    ) -> None:
        for one in notices:
            channel = Channel.RESPONSE if isinstance(one, Response) else Channel.SNAPSHOT
            topic = DeviceAddress("lab", device).topic(channel)
            self.desk.hear(Message(topic, encode_notice(one), retained, 0, 0, 1, 1))

    def ended(self, command: Command, device: str = "camera") -> KeptSnapshot:
        def look() -> KeptSnapshot | None:
            found = self.desk.book.find(DeviceAddress("lab", device), command.id)
            return found if found is not None and found.state is not State.WAITING else None

        found: KeptSnapshot = wait_until(look, "the request ended")
        return found


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    book, clock, wire = open_snapshots(str(tmp_path / "fleet.db")), Clock(), Wire()
    made = SnapshotDesk(book, label_of=lambda _, name: f"seen in {name}", clock_s=lambda: clock.s)
    make_key(tmp_path / "owner")
    made.connect(wire, tmp_path / "owner")
    made.start()
    yield Desk(made, wire, clock)
    made.stop()
    book.close()


def test_a_snapshot_in_parts_in_any_order_and_twice_is_kept_whole(desk: Desk) -> None:
    data = noise_picture(400)
    command = desk.ask()
    assert command.name == "snapshot" and command.signature
    *chunks, done = sends(data, "image/png")(command)
    assert len(chunks) == 4
    desk.hear(done, *chunks[::-1][:3], *chunks)
    found = desk.ended(command)
    assert (found.state, found.rule, found.label, found.shape) == (
        State.HERE,
        "door",
        "seen in s-1",
        "400 x 400",
    )
    assert desk.desk.book.content(CAMERA, command.id) == data


def test_what_nobody_asked_for_leaves_no_trace(desk: Desk) -> None:
    stray = Command(id="other", name="snapshot", issued_ms=1, expires_ms=2)
    desk.hear(*sends(picture())(stray))
    command = desk.ask()
    desk.hear(*sends(picture())(stray))
    desk.hear(*sends(picture())(command), device="thief")
    desk.hear(*sends(picture())(command), retained=True)
    assert len(desk.desk.book.of_device(CAMERA)) == 1
    assert desk.desk.book.of_device(DeviceAddress("lab", "thief")) == ()
    desk.hear(*sends(picture("navy"))(command))
    assert desk.ended(command).state is State.HERE


def test_what_never_arrives_whole_is_told_with_how_much_did(desk: Desk) -> None:
    command = desk.ask()
    first, *_ = sends(noise_picture(400), "image/png")(command)
    desk.hear(first)
    desk.clock.s += PAUSE_S - 1
    desk.desk.give_up()
    assert desk.desk.book.of_device(CAMERA)[0].state is State.WAITING
    desk.clock.s += 2
    desk.desk.give_up()
    assert desk.ended(command).reason == "it never arrived whole: 1 of 4 parts arrived"
    again = desk.ask()
    desk.clock.s += ANSWER_S + 1
    assert desk.ended(again).reason == "it never arrived whole: no part arrived"


def test_a_device_that_drips_parts_is_given_up_in_the_end(desk: Desk) -> None:
    command = desk.ask()
    first, second, *_ = sends(noise_picture(400), "image/png")(command)
    desk.hear(first)
    for _ in range(int(WHOLE_S / (PAUSE_S / 2)) + 1):
        desk.clock.s += PAUSE_S / 2
        desk.hear(second)
    assert "2 of 4 parts" in desk.ended(command).reason


def test_a_no_of_the_device_is_told(desk: Desk) -> None:
    command = desk.ask()
    desk.hear(
        Response(id=command.id, outcome=Outcome.REJECTED, ts_ms=1, message="privacy.raw_leaves is false")
    )
    assert desk.ended(command).reason == "the device says rejected: privacy.raw_leaves is false"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size_bytes": MAX_BYTES + 1}, "expected at most"),
        ({"size_bytes": 10}, "more, or less, than the size it says"),
        ({"part": b""}, "more, or less, than the size it says"),
        ({"count": 2, "index": 3}, "got part 4 of 2"),
        ({"sha256": "0" * 64}, "do not give what was sent"),
        ({"media": "text/html"}, "is not shown here"),
    ],
)
def test_a_hostile_part_ends_the_request(desk: Desk, change: dict[str, object], words: str) -> None:
    command = desk.ask()
    chunk = sends(picture())(command)[0]
    assert isinstance(chunk, SnapshotChunk)
    desk.hear(replace(chunk, **change))
    found = desk.ended(command)
    assert found.state is State.FAILED and words in found.reason
    assert desk.desk.book.content(CAMERA, command.id) is None


def test_parts_that_say_different_things_are_none(desk: Desk) -> None:
    command = desk.ask()
    first, second, *_ = sends(noise_picture(400), "image/png")(command)
    assert isinstance(second, SnapshotChunk)
    desk.hear(first, replace(second, count=9))
    assert "same number of parts" in desk.ended(command).reason


def test_parts_of_many_devices_do_not_fill_the_memory(desk: Desk) -> None:
    data = bytes(MAX_BYTES)
    commands = {}
    for number in range(10):
        device = f"d-{number}"
        commands[device] = desk.ask(device)
        *chunks, _last, _done = sends(data)(commands[device])
        desk.hear(*chunks, device=device)
    assert (
        "too many were on their way at once: 63 of 64 parts arrived"
        in desk.ended(commands["d-0"], "d-0").reason
    )
    assert desk.desk.book.of_device(DeviceAddress("lab", "d-9"))[0].state is State.WAITING


def test_one_request_of_a_device_and_few_in_all(desk: Desk) -> None:
    desk.ask()
    with pytest.raises(SnapshotProblem, match="another snapshot is still on its way"):
        desk.ask()
    for number in range(MAX_OPEN - 1):
        desk.ask(f"d-{number}")
    with pytest.raises(SnapshotProblem, match="32 snapshots are on their way already"):
        desk.ask("one-more")


def test_without_key_or_broker_it_says_why(desk: Desk, tmp_path: Path) -> None:
    desk.wire.connected = False
    with pytest.raises(SnapshotProblem, match="no connection to the broker just now"):
        desk.ask()
    without = SnapshotDesk(desk.desk.book, label_of=lambda *_: "")
    assert without.trouble() == NO_KEY
    with pytest.raises(SnapshotProblem, match="start it with --rollout-key KEY"):
        without.ask(CAMERA, who="ann")


def test_a_store_that_fails_leaves_the_device_free_to_be_asked_again(desk: Desk) -> None:
    desk.desk.book.close()
    with pytest.raises(StoreUnusable):
        desk.ask()
    with pytest.raises(StoreUnusable):
        desk.ask()
    assert not desk.wire.sent
