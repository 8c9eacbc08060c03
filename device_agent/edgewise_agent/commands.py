"""Answers what the fleet asks: each command once, however often it arrives."""

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping

from edgewise_agent.clock import TimeSource
from edgewise_messages import Command, MessageError, Outcome, Response

REMEMBERED = 256
"""Command ids whose answers are kept, to answer a repeated command again."""

Action = Callable[[Command], str]
"""Does what was asked and returns a line about it; the text of an error is the answer, too."""

log = logging.getLogger("edgewise.agent.commands")


class CommandDesk:
    """Not safe between threads: the agent's loop owns it."""

    def __init__(
        self, actions: Mapping[str, Action], *, parse: Callable[[bytes], Command], clock: TimeSource
    ) -> None:
        self._actions = dict(actions)
        self._parse = parse
        self._clock = clock
        self._answers: OrderedDict[str, Response] = OrderedDict()

    def handle(self, payload: bytes, *, retained: bool) -> Response | None:
        """Act on one command and return the answer; None when it has no readable id to answer to."""
        try:
            command = self._parse(payload)
        except MessageError as error:
            log.warning("a command that cannot be read: %s", error)
            return None
        known = self._answers.get(command.id)
        if known is not None:
            return known
        response = self._answer(command, retained=retained)
        self._answers[command.id] = response
        while len(self._answers) > REMEMBERED:
            self._answers.popitem(last=False)
        return response

    def _answer(self, command: Command, *, retained: bool) -> Response:
        if retained:
            return self._respond(command, Outcome.REJECTED, "retained commands would be repeated for ever")
        late_ms = self._clock.now_ms() - command.expires_ms
        if command.expires_ms and late_ms > 0:
            return self._respond(command, Outcome.REJECTED, f"expired {late_ms / 1000:.1f} s ago")
        action = self._actions.get(command.name)
        if action is None:
            known = ", ".join(sorted(self._actions))
            return self._respond(
                command, Outcome.REJECTED, f"unknown command {command.name!r}; known are {known}"
            )
        try:
            return self._respond(command, Outcome.DONE, action(command))
        except Exception as error:  # whatever a command breaks, the device goes on
            log.error("command %s failed: %r", command.name, error)
            return self._respond(command, Outcome.FAILED, f"{type(error).__name__}: {error}")

    def _respond(self, command: Command, outcome: Outcome, message: str) -> Response:
        log.info("command %s (%s): %s %s", command.name, command.id, outcome.value, message)
        return Response(id=command.id, outcome=outcome, ts_ms=self._clock.now_ms(), message=message[:1000])
