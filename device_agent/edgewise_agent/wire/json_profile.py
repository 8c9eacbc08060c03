"""The `json` wire profile: edgewise/v1/<group>/<device>/<channel>, many records in one publish."""

from collections.abc import Sequence

from edgewise_agent.wire.message import Message
from edgewise_messages import (
    Command,
    DeviceAddress,
    DeviceState,
    Meta,
    Response,
    SnapshotChunk,
    Status,
    decode_notice,
    encode_notice,
    join_encoded,
)
from edgewise_messages.topics import Channel


class JsonProfile:
    """Topics and payloads of one device."""

    def __init__(self, address: DeviceAddress, *, boot: str) -> None:
        self._address = address
        self._boot = boot

    @property
    def command_topic(self) -> str:
        """Where this device listens."""
        return self._address.topic(Channel.COMMAND)

    def records(self, channel: str, bodies: Sequence[bytes]) -> Message:
        """Encoded records of one channel as one publish."""
        return Message(self._address.topic(Channel(channel)), join_encoded(list(bodies)))

    def status(self, state: DeviceState, *, ts_ms: int, reason: str = "") -> Message:
        """The retained status; also the Last Will."""
        status = Status(state=state, ts_ms=ts_ms, boot=self._boot, reason=reason)
        return Message(self._address.topic(Channel.STATUS), encode_notice(status), retain=True)

    def meta(self, meta: Meta) -> Message:
        """The retained description of the device."""
        return Message(self._address.topic(Channel.META), encode_notice(meta), retain=True)

    def response(self, response: Response | SnapshotChunk) -> Message:
        """The answer to a command, or a part of the snapshot that one asked for."""
        channel = Channel.RESPONSE if isinstance(response, Response) else Channel.SNAPSHOT
        return Message(self._address.topic(channel), encode_notice(response))

    def parse_command(self, payload: bytes) -> Command:
        """Raises edgewise_messages.MessageError."""
        return decode_notice(payload, Command)
