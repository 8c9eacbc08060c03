"""Answers what the fleet asks: each command once, however often it arrives."""

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping

from edgewise_agent.clock import TimeSource
from edgewise_agent.commands.guard import CommandGuard
from edgewise_messages import COMMANDS, Command, MessageError, Outcome, Response, check_arguments

REMEMBERED = 256
"""Unsigned command ids whose answers are kept, to answer a repeated command again."""
MESSAGE_LIMIT = 1000

Action = Callable[[Command], str]
"""Does what was asked and returns a line about it; the text of an error is the answer, too."""

log = logging.getLogger("edgewise.agent.commands")


class Refuse(Exception):
    """Raised by an action that will not do what was asked: the answer is "rejected" with this text."""


class CommandDesk:
    """Not safe between threads: the agent's loop owns it."""

    def __init__(
        self,
        actions: Mapping[str, Action],
        *,
        parse: Callable[[bytes], Command],
        clock: TimeSource,
        guard: CommandGuard,
    ) -> None:
        self._actions = dict(actions)
        self._parse = parse
        self._clock = clock
        self._guard = guard
        self._answers: OrderedDict[str, Response] = OrderedDict()

    def handle(self, payload: bytes, *, retained: bool) -> Response | None:
        """Act on one command and return the answer; None when it has no readable id to answer to."""
        try:
            return self._handle(payload, retained=retained)
        except Exception as error:  # whoever may publish here must not be able to end the agent
            log.error("a command of %d bytes: unexpected error: %r", len(payload), error)
            return None

    def _handle(self, payload: bytes, *, retained: bool) -> Response | None:
        try:
            command = self._parse(payload)
            if retained:
                text = "retained commands would be repeated for ever"
                return self._respond(command, Outcome.REJECTED, text)
            verdict = self._guard.judge(command)
        except MessageError as error:
            log.warning("a command that cannot be read: %s", error)
            return None
        if verdict.known is not None:
            return verdict.known
        if verdict.refusal:
            return self._respond(command, Outcome.REJECTED, verdict.refusal)
        return self._signed(command) if verdict.is_signed else self._unsigned(command)

    def _unsigned(self, command: Command) -> Response:
        known = self._answers.get(command.id)
        if known is not None:
            return known
        response = self._answer(command)
        self._answers[command.id] = response
        while len(self._answers) > REMEMBERED:
            self._answers.popitem(last=False)
        return response

    def _signed(self, command: Command) -> Response:
        trouble = self._guard.begin(command)
        if trouble:
            return self._respond(command, Outcome.REJECTED, trouble)
        response = self._answer(command)
        try:
            self._guard.end(response)
        except OSError as error:
            log.error("the answer to command %s is not remembered: %s", command.id, error)
        return response

    def _answer(self, command: Command) -> Response:
        refusal = self._refusal(command)
        return self._respond(command, Outcome.REJECTED, refusal) if refusal else self._act(command)

    def _refusal(self, command: Command) -> str:
        late_ms = self._clock.now_ms() - command.expires_ms
        if command.expires_ms and late_ms > 0:
            return f"expired {late_ms / 1000:.1f} s ago"
        if command.name not in self._actions:
            return f"unknown command {command.name!r}; known are {', '.join(sorted(self._actions))}"
        return check_arguments(command) if command.name in COMMANDS else ""

    def _act(self, command: Command) -> Response:
        try:
            return self._respond(command, Outcome.DONE, self._actions[command.name](command))
        except Refuse as refusal:
            return self._respond(command, Outcome.REJECTED, str(refusal))
        except Exception as error:  # whatever a command breaks, the device goes on
            log.error("command %s failed: %r", command.name, error)
            return self._respond(command, Outcome.FAILED, f"{type(error).__name__}: {error}")

    def _respond(self, command: Command, outcome: Outcome, message: str) -> Response:
        log.info("command %s (%s): %s %s", command.name, command.id, outcome.value, message)
        return Response(
            id=command.id, outcome=outcome, ts_ms=self._clock.now_ms(), message=message[:MESSAGE_LIMIT]
        )
