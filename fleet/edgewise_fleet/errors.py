"""What can fail in the fleet monitor.

FleetError (Exception)
├── InvalidBrokerUrl (ValueError)       an address that is not mqtt://host:port
├── PortTaken        (OSError)          someone else listens there, or it is not ours to listen on
├── BrokerRefused    (ConnectionError)  the broker that was named cannot be reached, or says no
├── BrokerFailed     (RuntimeError)     the broker that we start ourselves did not come up
├── StoreUnusable    (OSError)          no fleet store at this path, a later one, or one in use
├── FleetUnreachable (ConnectionError)  no fleet server answers at this address
├── KeyProblem       (OSError)          a key file that is missing, readable by others, or no key
├── RepositoryProblem (OSError)         the update repository cannot be read or written
├── BadCommand       (ValueError)       a command that no device would take
├── BadRules         (ValueError)       an alert rule or silence that cannot be meant so
├── AccessProblem    (ValueError)       a user, role, password or token that cannot be taken
├── UnknownDevice    (LookupError)      a device or metric that the fleet never heard of
├── OtelUnusable     (ValueError)       OpenTelemetry is not installed, or has no usable address
├── OpenToAll        (PermissionError)  listening on a network with nobody to log in
├── BadSize          (ValueError)       a size that is not a number with a unit
├── BadChoice        (ValueError)       options that do not go together, or a name that cannot be one
├── BadEntry         (ValueError)       an entry of the registry, or a file of them, that is none
├── BadRollout       (ValueError)       a plan, or a wish of a rollout, that makes no sense
├── EnrolmentProblem (OSError)          the fleet's authority or the broker's files cannot be read or written
├── SnapshotProblem  (ValueError)       a snapshot that cannot be asked for, or is none
├── BadSimulation    (ValueError)       a simulated fleet that cannot be made, here or at all
└── DeviceSilent     (TimeoutError)     the device did not answer a command in time
"""


class FleetError(Exception):
    """Base of everything this package raises."""

    exit_code = 1


class InvalidBrokerUrl(FleetError, ValueError):
    """The address of a broker is not of the form mqtt://[user[:password]@]host[:port]."""


class PortTaken(FleetError, OSError):
    """A port that the server needs cannot be listened on."""


class BrokerRefused(FleetError, ConnectionError):
    """The broker given cannot be reached, or refused the connection."""


class BrokerFailed(FleetError, RuntimeError):
    """The embedded broker ended before it answered."""


class StoreUnusable(FleetError, OSError):
    """The store is missing, is no fleet store, is of a later version, or another server writes to it."""


class FleetUnreachable(FleetError, ConnectionError):
    """No fleet server answers, or what answers is not one."""


class KeyProblem(FleetError, OSError):
    """A private key that cannot be used, or must not be because others can read it."""


class RepositoryProblem(FleetError, OSError):
    """The update repository's folder is none, is damaged, or cannot be written."""


class DeviceSilent(FleetError, TimeoutError):
    """No response came; the command may or may not have been done."""


class BadCommand(FleetError, ValueError):
    """A command with an unknown name, wrong arguments, or without the signature it needs."""


class BadRules(FleetError, ValueError):
    """A file of alert rules is not TOML, or holds a rule or silence that cannot be meant so."""


class AccessProblem(FleetError, ValueError):
    """A user name, role, password or token that is not known or cannot be taken."""


class OpenToAll(FleetError, PermissionError):
    """The server was asked to listen on a network without any user who must log in."""


class UnknownDevice(FleetError, LookupError):
    """A device or metric that the fleet never heard of, or a name that several devices have."""


class OtelUnusable(FleetError, ValueError):
    """OpenTelemetry's packages are not there, or its endpoint is no HTTP address."""


class BadSize(FleetError, ValueError):
    """A size that is not of the form 20GB."""


class BadChoice(FleetError, ValueError):
    """Options that do not go together, a name that MQTT gives another meaning, or a file of an unknown kind."""


class BadEntry(FleetError, ValueError):
    """An entry of the registry with a wrong field; the message says where."""


class BadRollout(FleetError, ValueError):
    """A rollout that cannot be begun, or one that is not in a state for what was asked."""


class EnrolmentProblem(FleetError, OSError):
    """A certificate authority, a credential or a broker file that is missing, taken or unsound."""


class SnapshotProblem(FleetError, ValueError):
    """A snapshot that cannot be asked for just now, or what a device sent as one and is none."""


class BadSimulation(FleetError, ValueError):
    """A simulated fleet with wrong figures, or more connections than this process may open."""
