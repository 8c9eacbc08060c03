"""What can go wrong in the agent.

AgentError
├── InvalidSettings (ValueError)       repair the settings file; every problem in it is listed
├── StateInUse (RuntimeError)          another agent runs on the same state folder
├── OutboxError (OSError)              the disk refuses: keep records in memory and try again
│   └── OutboxDamaged                  the outbox's file is not a sound database: set it aside
├── ModelUnfit (RuntimeError)          the model fails its own golden cases here: get another file
├── InstallRefused (OSError)           the unit cannot be written there, or one is there already
├── NotRunning (RuntimeError)          no agent answers on the status port
├── SourceError (OSError)              nothing to read where the settings point
└── BrokerError (ConnectionError)      try again later
    └── BrokerRefused                  the broker answers and says no: repair name, password or rights
"""

from dataclasses import dataclass


class AgentError(Exception):
    """Base of everything this package raises."""

    exit_code = 1


WHOLE_FILE = "file"
"""Where a problem stands that is not one setting's."""


@dataclass(frozen=True)
class Problem:
    """One thing to repair: where it stands (``section.key``) and what is wrong with it."""

    where: str
    message: str

    def __str__(self) -> str:
        return self.message if self.where == WHOLE_FILE else f"{self.where}: {self.message}"


class InvalidSettings(AgentError, ValueError):
    """The settings file cannot be used; ``problems`` has every reason."""

    def __init__(self, file: str, problems: tuple[Problem, ...]) -> None:
        self.file = file
        self.problems = problems
        super().__init__(self._text())

    def _text(self) -> str:
        if len(self.problems) == 1:
            return f"{self.file}: {self.problems[0]}"
        return "\n  ".join([f"{self.file}: {len(self.problems)} problems", *map(str, self.problems)])


class StateInUse(AgentError, RuntimeError):
    """Two agents on one state folder would send each other's records."""


class OutboxError(AgentError, OSError):
    """The outbox's file cannot be opened, read or written just now."""


class OutboxDamaged(OutboxError):
    """The outbox's file is not a sound database."""


class ModelUnfit(AgentError, RuntimeError):
    """The model's golden cases give other answers on this device than the file promises."""


class InstallRefused(AgentError, OSError):
    """The unit file cannot or must not be written."""


class NotRunning(AgentError, RuntimeError):
    """No agent answers where the settings say that one would."""


class SourceError(AgentError, OSError):
    """A source's folder or file is missing or cannot be read."""


class BrokerError(AgentError, ConnectionError):
    """The broker is not reachable, or the connection to it ended."""


class BrokerRefused(BrokerError):
    """The broker answered the connection request with no."""
