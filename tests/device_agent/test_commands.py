import json
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from device_agent.agent_parts import ADDRESS

from edgewise_agent.commands import memory as memory_module
from edgewise_agent.commands.desk import REMEMBERED, CommandDesk, Refuse
from edgewise_agent.commands.guard import CommandGuard
from edgewise_agent.commands.settings import CommandSettings
from edgewise_agent.errors import KeyUnusable
from edgewise_fleet.commanding import sign
from edgewise_fleet.keys import make_key
from edgewise_messages import (
    Clock,
    Command,
    DeviceAddress,
    Format,
    Outcome,
    Response,
    decode_notice,
    encode_notice,
)

NOW_MS = 1_000_000_000


@dataclass
class StillClock:
    """Stands still."""

    ms: int = NOW_MS
    trust: Clock = Clock.NTP

    def now_ms(self) -> int:
        return self.ms

    def mono_ns(self) -> int:
        return 0

    def state(self) -> Clock:
        return self.trust


@dataclass
class Desk:
    """A desk with four commands, and what they were called with; a new one on the same folder is a restart."""

    folder: Path
    clock: StillClock = field(default_factory=StillClock)
    done: list[str] = field(default_factory=list)
    is_trusting: bool = True

    def __post_init__(self) -> None:
        self.key = self.folder / "owner"
        if not self.key.exists():
            make_key(self.key)
        keys = (self.folder / "owner.pub",) if self.is_trusting else ()
        guard = CommandGuard(
            CommandSettings(keys=keys),
            address=ADDRESS,
            memory_file=self.folder / "commands.json",
            clock=self.clock,
        )
        self.desk = CommandDesk(
            {"report-now": self._do, "stop": self._do, "log-level": self._refuse, "erase": self._fail},
            parse=lambda payload: decode_notice(payload, Command),
            clock=self.clock,
            guard=guard,
        )

    def make(self, name: str, command_id: str = "1", *, age_ms: int = 10, valid_ms: int = 60_000,
             address: DeviceAddress = ADDRESS, key: Path | None = None, **arguments: object) -> Command:  # fmt: skip
        issued_ms = self.clock.ms - age_ms
        expires_ms = issued_ms + valid_ms if valid_ms else 0
        command = Command(
            id=command_id, name=name, issued_ms=issued_ms, expires_ms=expires_ms, arguments=arguments
        )
        return sign(command, address, key or self.key)

    def ask(self, command: Command, *, retained: bool = False, form: Format = Format.JSON) -> Response:
        response = self.desk.handle(encode_notice(command, form), retained=retained)
        assert response is not None
        assert response.id == command.id
        return response

    def _do(self, command: Command) -> str:
        self.done.append(command.id)
        return "hello"

    def _refuse(self, command: Command) -> str:
        raise Refuse("not that one")

    def _fail(self, command: Command) -> str:
        raise RuntimeError("no disk")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def unsigned(name: str, command_id: str = "1", expires_ms: int = 0) -> Command:
    return Command(id=command_id, name=name, issued_ms=1, expires_ms=expires_ms)


def test_what_changes_nothing_needs_no_signature(desk: Desk) -> None:
    assert desk.ask(unsigned("report-now")).outcome is Outcome.DONE
    assert desk.done == ["1"]


@pytest.mark.parametrize("form", [Format.JSON, Format.MSGPACK])
def test_a_signed_command_is_done(desk: Desk, form: Format) -> None:
    command = desk.make("stop")
    assert desk.ask(command, form=form).outcome is Outcome.DONE
    assert desk.done == ["1"]


def test_an_unsigned_change_is_rejected_with_the_way_out(desk: Desk, tmp_path: Path) -> None:
    assert "stop must be signed" in desk.ask(unsigned("stop")).message
    answer = Desk(tmp_path, is_trusting=False).ask(unsigned("stop"))
    assert answer.outcome is Outcome.REJECTED
    assert "name one in commands.keys" in answer.message
    assert desk.done == []


def test_every_field_is_covered_by_the_signature(desk: Desk) -> None:
    good = desk.make("stop", age_ms=10)
    changes = {
        "id": "2", "name": "erase", "issued_ms": good.issued_ms + 1, "expires_ms": good.expires_ms + 1,
        "arguments": {"a": 1}, "signature": "00" * 64,
    }  # fmt: skip
    for name, value in changes.items():
        answer = desk.ask(msgspec.structs.replace(good, **{name: value}))
        assert answer.outcome is Outcome.REJECTED
        assert answer.message.startswith("signature:")
    assert desk.done == []


def test_a_signature_for_another_device_or_by_another_key_is_none(desk: Desk, tmp_path: Path) -> None:
    make_key(tmp_path / "stranger")
    for other in (
        desk.make("stop", address=DeviceAddress("test", "cam-2")),
        desk.make("stop", address=DeviceAddress("other", "cam-1")),
        desk.make("stop", key=tmp_path / "stranger"),
    ):
        assert desk.ask(other).message.startswith("signature: by none of the 1 keys")
    assert desk.done == []


def test_a_signed_command_must_expire_soon_and_not_come_from_the_future(desk: Desk) -> None:
    assert "must expire" in desk.ask(desk.make("stop", "a", valid_ms=0)).message
    assert "commands.max_age_s" in desk.ask(desk.make("stop", "b", valid_ms=86_400_001)).message
    assert "expired" in desk.ask(desk.make("stop", "c", age_ms=100_000)).message
    assert "in the future" in desk.ask(desk.make("stop", "d", age_ms=-400_000)).message
    assert desk.done == []


def test_a_repeat_is_answered_alike_and_not_done_again_also_after_a_restart(
    desk: Desk, tmp_path: Path
) -> None:
    command = desk.make("stop")
    first = desk.ask(command)
    desk.clock.ms += 500_000
    again = Desk(tmp_path, desk.clock)
    assert desk.ask(command) == again.ask(command) == first
    assert desk.done == ["1"]
    assert again.done == []


def test_an_unsigned_command_cannot_take_the_id_of_a_signed_one(desk: Desk) -> None:
    desk.ask(unsigned("report-now", "x"))
    desk.ask(unsigned("stop", "x"))
    assert desk.ask(desk.make("stop", "x")).outcome is Outcome.DONE
    assert desk.done == ["x", "x"]


def test_what_is_forgotten_is_not_done_again_even_by_a_clock_of_1970(desk: Desk, tmp_path: Path) -> None:
    desk.clock.trust = Clock.UNSYNCED
    commands = [
        desk.make("stop", str(number), age_ms=10_000 - number)
        for number in range(memory_module.REMEMBERED + 5)
    ]
    for command in commands:
        assert desk.ask(command).outcome is Outcome.DONE
    again = Desk(tmp_path, StillClock(0, Clock.UNSYNCED))
    for command in commands:
        again.ask(command)
    assert again.done == []
    assert "forgotten already" in again.ask(commands[0]).message
    assert (tmp_path / "commands.json").stat().st_size < memory_module.LIMIT_BYTES


def test_a_command_that_was_cut_off_is_not_begun_again(desk: Desk, tmp_path: Path) -> None:
    command = desk.make("stop")
    memory = memory_module.CommandMemory(tmp_path / "commands.json", desk.clock)
    memory.begin(command.id, command.issued_ms)
    answer = Desk(tmp_path, desk.clock).ask(command)
    assert answer.outcome is Outcome.FAILED
    assert "ended while doing it" in answer.message


def test_without_its_memory_only_what_is_issued_from_now_on_is_done(desk: Desk, tmp_path: Path) -> None:
    command = desk.make("stop")
    (tmp_path / "commands.json").write_bytes(b"rubbish")
    late = Desk(tmp_path, StillClock(desk.clock.ms, Clock.UNSYNCED))
    assert "until the clock is set" in late.ask(command).message
    again = Desk(tmp_path, desk.clock)
    assert "forgotten already" in again.ask(command).message
    assert again.ask(again.make("stop", "2", age_ms=-1)).outcome is Outcome.DONE


def test_what_cannot_be_remembered_is_not_done(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    (tmp_path / "commands.json").mkdir()
    (tmp_path / "commands.json/x").touch()
    assert desk.ask(desk.make("stop")).outcome is Outcome.REJECTED
    assert desk.done == []


def test_arguments_are_checked_before_anything_is_done(desk: Desk) -> None:
    wrong = desk.ask(desk.make("log-level", "1", levl="debug"))
    assert wrong.outcome is Outcome.REJECTED
    assert wrong.message == "argument 'levl': unknown to log-level; did you mean 'level'?"
    assert "'level' is missing" in desk.ask(desk.make("log-level", "2")).message
    assert "expected a text" in desk.ask(desk.make("log-level", "3", level=1)).message


def test_an_action_may_refuse_and_a_failing_one_is_answered_with_the_reason(desk: Desk) -> None:
    assert desk.ask(desk.make("log-level", "1", level="debug")).outcome is Outcome.REJECTED
    failed = desk.ask(desk.make("erase", "2"))
    assert (failed.outcome, failed.message) == (Outcome.FAILED, "RuntimeError: no disk")


def test_unknown_and_retained_commands_are_rejected(desk: Desk) -> None:
    assert "unknown command 'dance'" in desk.ask(unsigned("dance")).message
    assert "known are erase, log-level" in desk.ask(desk.make("snapshot")).message
    assert "retained" in desk.ask(desk.make("stop", "2"), retained=True).message
    assert desk.done == []


def test_memory_of_unsigned_ids_is_bounded(desk: Desk) -> None:
    for number in range(REMEMBERED + 1):
        desk.ask(unsigned("report-now", str(number)))
    desk.ask(unsigned("report-now", "0"))
    desk.ask(unsigned("report-now", str(REMEMBERED)))
    assert desk.done.count("0") == 2
    assert desk.done.count(str(REMEMBERED)) == 1


def test_what_cannot_be_read_has_no_id_to_answer_to(desk: Desk) -> None:
    assert desk.desk.handle(b"", retained=False) is None
    assert desk.desk.handle(b'{"id": "a b", "name": "stop", "issued_ms": 1}', retained=False) is None


def test_a_key_file_that_is_none_is_named(tmp_path: Path) -> None:
    for name, data in (("gone.pub", None), ("text.pub", b"hello")):
        if data is not None:
            (tmp_path / name).write_bytes(data)
        with pytest.raises(KeyUnusable, match=rf"commands\.keys .*{name}: "):
            CommandGuard(
                CommandSettings(keys=(tmp_path / name,)),
                address=ADDRESS,
                memory_file=tmp_path / "commands.json",
                clock=StillClock(),
            )


def test_the_memory_on_disk_holds_ids_and_answers(desk: Desk, tmp_path: Path) -> None:
    desk.ask(desk.make("stop", "s-1"))
    (entry,) = json.loads((tmp_path / "commands.json").read_text())["entries"]
    assert (entry["id"], entry["response"]["outcome"]) == ("s-1", "done")
