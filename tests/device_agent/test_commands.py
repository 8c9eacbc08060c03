from edgewise_agent.commands import REMEMBERED, CommandDesk
from edgewise_messages import Clock, Command, Outcome, decode_notice, encode_notice


class StillClock:
    """Stands at 1000 ms."""

    def now_ms(self) -> int:
        return 1000

    def mono_ns(self) -> int:
        return 0

    def state(self) -> Clock:
        return Clock.NTP


class Desk:
    """A desk with the commands greet and fail, and what they were called with."""

    def __init__(self) -> None:
        self.greeted: list[str] = []
        self.desk = CommandDesk(
            {"greet": self._greet, "fail": self._fail},
            parse=lambda payload: decode_notice(payload, Command),
            clock=StillClock(),
        )

    def ask(
        self, name: str, command_id: str = "1", *, expires_ms: int = 0, retained: bool = False
    ) -> tuple[Outcome, str]:
        command = Command(id=command_id, name=name, issued_ms=1, expires_ms=expires_ms)
        response = self.desk.handle(encode_notice(command), retained=retained)
        assert response is not None
        assert (response.id, response.ts_ms) == (command_id, 1000)
        return response.outcome, response.message

    def _greet(self, command: Command) -> str:
        self.greeted.append(command.id)
        return "hello"

    def _fail(self, command: Command) -> str:
        raise RuntimeError("no disk")


def test_a_command_is_done_and_answered() -> None:
    assert Desk().ask("greet") == (Outcome.DONE, "hello")


def test_a_repeated_id_is_answered_again_and_not_done_again() -> None:
    desk = Desk()
    assert desk.ask("greet") == desk.ask("greet") == desk.ask("fail")
    assert desk.greeted == ["1"]


def test_memory_of_ids_is_bounded() -> None:
    desk = Desk()
    for number in range(REMEMBERED + 1):
        desk.ask("greet", str(number))
    desk.ask("greet", "0")
    desk.ask("greet", str(REMEMBERED))
    assert desk.greeted.count("0") == 2
    assert desk.greeted.count(str(REMEMBERED)) == 1


def test_expired_unknown_and_retained_commands_are_rejected() -> None:
    desk = Desk()
    assert desk.ask("greet", "1", expires_ms=999) == (Outcome.REJECTED, "expired 0.0 s ago")
    assert desk.ask("greet", "2", expires_ms=1000) == (Outcome.DONE, "hello")
    assert desk.ask("dance", "3") == (Outcome.REJECTED, "unknown command 'dance'; known are fail, greet")
    assert desk.ask("greet", "4", retained=True)[0] is Outcome.REJECTED
    assert desk.greeted == ["2"]


def test_a_failing_command_is_answered_with_the_reason() -> None:
    assert Desk().ask("fail") == (Outcome.FAILED, "RuntimeError: no disk")


def test_what_cannot_be_read_has_no_id_to_answer_to() -> None:
    desk = Desk().desk
    assert desk.handle(b"", retained=False) is None
    assert desk.handle(b'{"id": "a b", "name": "greet", "issued_ms": 1}', retained=False) is None
