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
├── InvalidExpression (ValueError)     repair a rule's expression; it says the column
├── RuleFailed (ValueError)            a rule has no value for one answer: count it and go on
├── AuditError (OSError)               the audit log cannot be written: nothing raw may leave
├── RedactionFailed (RuntimeError)     faces or voices cannot be taken out: the input may not leave
├── OffloadError (ConnectionError)     an edge server gave no usable answer in time: the local one stands
├── MessageUnsendable (ValueError)     larger than the broker takes: leave it, the others can go
├── InstallRefused (OSError)           the unit cannot be written there, or one is there already
├── NotRunning (RuntimeError)          no agent answers on the status port
├── SourceError (OSError)              nothing to read where the settings point
└── BrokerError (ConnectionError)      try again later
    ├── BrokerRefused                  the broker answers and says no: repair name, password or rights
    ├── OtherProtocol                  it may not speak this version of MQTT: try the other one
    ├── BrokerClosed                   the broker ended a connection that worked
    └── ConnectionOutdated             connect again: another certificate or another broker is to be used
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


class MessageUnsendable(AgentError, ValueError):
    """A publish that this broker would never take."""


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


class InvalidExpression(AgentError, ValueError):
    """A rule's expression is not one, or speaks of what there is not; ``column`` counts from 1."""

    def __init__(self, message: str, *, column: int) -> None:
        self.column = column
        super().__init__(f"column {column}: {message}")


class RuleFailed(AgentError, ValueError):
    """An expression has no value for this answer, such as after a division by zero."""


class AuditError(AgentError, OSError):
    """The audit log cannot be written: nothing raw may leave."""


class RedactionFailed(AgentError, RuntimeError):
    """What must not be seen cannot be taken out of this input: it may not leave."""


class OffloadError(AgentError, ConnectionError):
    """An edge server gave no answer that can be used, in the time there was."""


class OtherProtocol(BrokerError):
    """The broker did not answer as this version of MQTT asks."""


class BrokerClosed(BrokerError):
    """The broker ended the connection by itself; what was sent last may be why."""


class ConnectionOutdated(BrokerError):
    """The connection works, but a new one is wanted: for a renewed certificate, or for a nearer broker."""
