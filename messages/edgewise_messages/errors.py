"""What can be wrong with a message.

MessageError (ValueError)
├── InvalidTopic        a topic or an id outside the scheme
├── MalformedMessage    bytes that are not a message, or a field of the wrong type or value
└── UnsupportedVersion  a message of a later, incompatible version of the schema
"""


class MessageError(ValueError):
    """Base of everything this package raises."""

    exit_code = 1
    """What the `edgewise` command ends with when it meets this error."""


class InvalidTopic(MessageError):
    """A topic outside the scheme, or an id with characters MQTT or file systems give a meaning to."""


class MalformedMessage(MessageError):
    """Bytes that are neither JSON nor MessagePack of the expected shape."""


class UnsupportedVersion(MessageError):
    """The sender speaks a later major version of the schema than this package does."""
