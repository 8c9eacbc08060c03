"""Decides whether a command may be done: who signed it, for whom, when, and whether it was done before."""

from dataclasses import dataclass
from pathlib import Path

from edgewise_agent.clock import TimeSource
from edgewise_agent.commands.memory import CommandMemory
from edgewise_agent.commands.settings import CommandSettings
from edgewise_agent.commands.signatures import TrustedKeys
from edgewise_agent.errors import CommandsForgotten
from edgewise_messages import COMMANDS, Clock, Command, DeviceAddress, Outcome, Response, signed_bytes

EARLY_MS = 300_000
"""A signed command from further in the future was made by a wrong clock, or to outlive its welcome."""


@dataclass(frozen=True)
class Verdict:
    """``refusal`` says why not; ``known`` is the answer to a command that was done before."""

    refusal: str = ""
    known: Response | None = None
    is_signed: bool = False


class CommandGuard:
    """Owned by the agent's loop, as the desk is."""

    def __init__(
        self,
        settings: CommandSettings,
        *,
        address: DeviceAddress,
        memory_file: Path,
        clock: TimeSource,
    ) -> None:
        """Raises KeyUnusable."""
        self._settings = settings
        self._address = address
        self._clock = clock
        self._memory_file = memory_file
        self._keys = TrustedKeys(settings.keys)
        self._memory: CommandMemory | None = None

    def judge(self, command: Command) -> Verdict:
        """May this command be done? Changes nothing."""
        if not command.signature:
            return Verdict("" if self._may_be_unsigned(command) else self._unsigned(command))
        if not self._keys.signer_of(signed_bytes(command, self._address), command.signature):
            return Verdict(
                f"signature: by none of the {len(self._keys)} keys in commands.keys, or for another device or content"
            )
        return self._judge_signed(command)

    def begin(self, command: Command) -> str:
        """Remember that a signed command is done now; what stands against it, or nothing."""
        try:
            self._remembering().begin(command.id, command.issued_ms)
        except OSError as error:  # CommandsForgotten is one
            return f"it cannot be remembered, and might be done twice: {error}"
        return ""

    def end(self, response: Response) -> None:
        """Remember how it ended. Raises OSError."""
        self._remembering().end(response)

    def _judge_signed(self, command: Command) -> Verdict:
        try:
            memory = self._remembering()
        except CommandsForgotten as error:
            return Verdict(str(error))
        if memory.known(command.id):
            return Verdict(known=memory.response(command.id) or _cut_off(command), is_signed=True)
        if memory.is_too_old(command.issued_ms):
            return Verdict("issued before commands that are forgotten already; send it anew")
        return Verdict(self._judge_times(command), is_signed=True)

    def _judge_times(self, command: Command) -> str:
        valid_ms = command.expires_ms - command.issued_ms
        if not command.expires_ms:
            return "expires_ms: missing, and a signed command must expire"
        if not 0 < valid_ms <= self._settings.max_age_s * 1000:
            return (
                f"valid for {valid_ms / 1000:g} s, at most {self._settings.max_age_s:g} (commands.max_age_s)"
            )
        early_ms = command.issued_ms - self._clock.now_ms()
        if early_ms > EARLY_MS and self._clock.state() is not Clock.UNSYNCED:
            return f"issued {early_ms / 1000:.0f} s in the future; set the clock of the sender"
        return ""

    def _may_be_unsigned(self, command: Command) -> bool:
        kind = COMMANDS.get(command.name)
        return kind is not None and not kind.changes

    def _unsigned(self, command: Command) -> str:
        if command.name not in COMMANDS:
            return f"unknown command {command.name!r}, and not signed"
        if not len(self._keys):
            return f"{command.name} must be signed, and this device trusts no key: name one in commands.keys"
        return f"{command.name} must be signed; use `edgewise fleet command ... --key FILE`"

    def _remembering(self) -> CommandMemory:
        if self._memory is None:
            self._memory = CommandMemory(self._memory_file, self._clock)
        return self._memory


def _cut_off(command: Command) -> Response:
    return Response(
        id=command.id,
        outcome=Outcome.FAILED,
        ts_ms=command.issued_ms,
        message="the agent ended while doing it; look at what came of it, and send it anew if need be",
    )
