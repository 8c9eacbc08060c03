"""What can go wrong in the agent.

AgentError
├── InvalidSettings (ValueError)       repair the settings file; every problem in it is listed
├── StateInUse (RuntimeError)          another agent runs on the same state folder
├── OutboxError (OSError)              the disk refuses: keep records in memory and try again
│   └── OutboxDamaged                  the outbox's file is not a sound database: set it aside
├── ModelUnfit (RuntimeError)          the model fails its own golden cases here: get another file
├── KeyUnusable (ValueError)           a key file that is missing or no public key: repair commands.keys
├── CommandsForgotten (OSError)        which commands were done cannot be read: signed ones are refused
├── StoreError (OSError)               the disk refuses what the model store must write: try again later
├── UpdateError (RuntimeError)         no update now: try again later
│   ├── RepositoryUnreachable          no network, no stick, a broken download: what is there is kept
│   ├── DeltaUnusable                  a delta that does not give the file: fetch the whole one
│   └── RepositoryRefused              the repository's metadata or file is not what was signed: tell the owner
├── MalformedPayload (ValueError)      bytes that are not a Sparkplug payload: leave the message out
├── MalformedPacket (ValueError)       bytes that are not an MQTT packet: leave the connection out
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


class BrokerError(AgentError, ConnectionError):
    """The broker is not reachable, or the connection to it ended."""


class BrokerRefused(BrokerError):
    """The broker answered the connection request with no."""


class KeyUnusable(AgentError, ValueError):
    """A file in commands.keys holds no ed25519 public key."""


class CommandsForgotten(AgentError, OSError):
    """The file that remembers signed commands cannot be read, so repeats could not be told."""


class StoreError(AgentError, OSError):
    """The model store cannot be read or written just now; what it ran before stays."""


class UpdateError(AgentError, RuntimeError):
    """An update that did not come about; the device goes on with the model it has."""


class RepositoryUnreachable(UpdateError):
    """The update repository is not there, or went away during a download."""


class RepositoryRefused(UpdateError):
    """What the update repository gave is not what its owner signed: expired, older, mixed, too long or forged."""


class DeltaUnusable(UpdateError):
    """A delta that is damaged, for another file, or too much for this device."""


class MalformedPayload(AgentError, ValueError):
    """Bytes that are not a Sparkplug payload."""


class MalformedPacket(AgentError, ValueError):
    """Bytes that are not an MQTT packet."""
