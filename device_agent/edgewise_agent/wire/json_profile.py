"""The `json` wire profile: edgewise/v1/<group>/<device>/<channel>, many records in one publish."""

import logging
import queue
from collections.abc import Callable

from edgewise_agent.outbox.batches import Batch
from edgewise_agent.wire.message import Message
from edgewise_agent.wire.profile import Opening, Turn
from edgewise_messages import (
    Channel,
    Command,
    DeviceAddress,
    DeviceState,
    Format,
    MessageError,
    Meta,
    Response,
    SnapshotChunk,
    Status,
    decode_notice,
    decode_record,
    encode_notice,
    encode_records,
    join_encoded,
)

log = logging.getLogger("edgewise.agent.broker")


def parse_command(payload: bytes) -> Command:
    """Raises edgewise_messages.MessageError."""
    return decode_notice(payload, Command)


class JsonProfile:
    """Topics and payloads of one device.

    ``form`` is how records are written. Status and meta are JSON in every form: they are few, and others read them.
    ``responses`` are sent when connected, and not kept. Meta is told again when ``models`` gives another value.
    """

    unsure_for_s = 0.0

    def __init__(
        self,
        address: DeviceAddress,
        *,
        boot: str,
        meta: Callable[[], Meta],
        now_ms: Callable[[], int],
        responses: "queue.SimpleQueue[Response | SnapshotChunk]",
        on_command: Callable[[bytes, bool], None],
        form: Format = Format.JSON,
        models: Callable[[], object] = tuple,
    ) -> None:
        self.address = address
        self.models = models
        self.form = form
        self.on_command = on_command
        self._boot = boot
        self._meta = meta
        self._now_ms = now_ms
        self._responses = responses

    @property
    def command_topic(self) -> str:
        """Where this device listens."""
        return self.address.topic(Channel.COMMAND)

    def begin(self) -> "JsonSession":
        """For the next connection."""
        return JsonSession(self)

    def status(self, state: DeviceState, *, reason: str = "") -> Message:
        """The retained status; also the Last Will."""
        status = Status(state=state, ts_ms=self._now_ms(), boot=self._boot, reason=reason)
        return Message(self.address.topic(Channel.STATUS), encode_notice(status), retain=True)

    def meta(self) -> Message:
        """The retained description of the device."""
        return Message(self.address.topic(Channel.META), encode_notice(self._meta()), retain=True)

    def answers(self) -> tuple[Message, ...]:
        """The answers to commands that wait to be sent, and parts of snapshots that one asked for."""
        messages = []
        while not self._responses.empty():
            answer = self._responses.get()
            channel = Channel.RESPONSE if isinstance(answer, Response) else Channel.SNAPSHOT
            messages.append(Message(self.address.topic(channel), encode_notice(answer)))
        return tuple(messages)


class JsonSession:
    """One connection: meta and status first, then records and answers; meta again when the models are others."""

    def __init__(self, profile: JsonProfile) -> None:
        self._profile = profile
        self._announced = False
        self._models: object = None

    @property
    def opening(self) -> Opening:
        """The will says offline."""
        will = self._profile.status(DeviceState.OFFLINE, reason="connection lost")
        return Opening(will, (self._profile.command_topic,))

    def due(self) -> Turn:
        """Meta and status once, meta after an update too; answers whenever there are any."""
        messages = self._profile.answers()
        before, self._models = self._models, self._profile.models()
        if self._announced and self._models != before:
            messages = (self._profile.meta(), *messages)
        if not self._announced:
            self._announced = True
            messages = (self._profile.meta(), self._profile.status(DeviceState.ONLINE), *messages)
        return Turn(messages)

    def records(self, batch: Batch) -> tuple[Message, ...]:
        """One publish."""
        topic = self._profile.address.topic(Channel(batch.channel))
        return (Message(topic, _encode(batch, self._profile.form)),)

    def heard(self, message: Message) -> None:
        """Commands go to the agent's loop."""
        if message.topic != self._profile.command_topic:
            log.debug("ignored a message on %s", message.topic)
            return
        self._profile.on_command(message.payload, message.retain)

    def farewell(self, reason: str, *, returns: bool) -> tuple[Message, ...]:
        """Status stopped; nothing when it only changes connections, as online stays true."""
        if returns:
            return ()
        return (self._profile.status(DeviceState.STOPPED, reason=reason),)


def _encode(batch: Batch, form: Format) -> bytes:
    if form is not Format.JSON:
        try:
            return encode_records([decode_record(body) for body in batch.bodies], form)
        except MessageError as error:
            log.warning("a batch goes as JSON, not as %s: %s", form.value, error)
    return join_encoded(list(batch.bodies))
