"""Pictures and sounds, and a device that sends what it is told to when it is asked for a snapshot."""

import io
import wave
from collections.abc import Callable, Sequence

import numpy as np
import paho.mqtt.client as paho
from fleet.simulated import SimulatedDevice, now_ms
from paho.mqtt.enums import CallbackAPIVersion
from PIL import Image, ImageDraw

from edgewise_messages import (
    Channel,
    Command,
    Outcome,
    Response,
    SnapshotChunk,
    decode_notice,
    encode_notice,
    split_snapshot,
)

Answer = Callable[[Command], Sequence[Response | SnapshotChunk]]


def picture(colour: str = "teal", size_wh: tuple[int, int] = (640, 480), form: str = "JPEG") -> bytes:
    """A scene with a little in it."""
    image = Image.new("RGB", size_wh, colour)
    draw = ImageDraw.Draw(image)
    width, height = size_wh
    draw.rectangle((width * 0.1, height * 0.55, width * 0.9, height * 0.9), fill="dimgray")
    draw.ellipse((width * 0.35, height * 0.2, width * 0.65, height * 0.6), fill="gold")
    written = io.BytesIO()
    image.save(written, form)
    return written.getvalue()


def noise_picture(side: int) -> bytes:
    """A PNG that does not compress: about 3 side^2 bytes."""
    pixels = np.random.default_rng(1).integers(0, 256, (side, side, 3), dtype=np.uint8)
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "PNG")
    return written.getvalue()


def sound(seconds: float = 1.5) -> bytes:
    written = io.BytesIO()
    with wave.open(written, "wb") as made:
        made.setnchannels(1)
        made.setsampwidth(2)
        made.setframerate(16_000)
        made.writeframes(b"\x01\x00" * int(16_000 * seconds))
    return written.getvalue()


def sends(data: bytes, media: str = "image/jpeg", *, name: str = "s-1", rule: str = "door") -> Answer:
    """The answer of a device that does what it is asked."""

    def answer(command: Command) -> Sequence[Response | SnapshotChunk]:
        chunks = split_snapshot(
            data, request=command.id, snapshot=name, media=media, ts_ms=now_ms(), rule=rule
        )
        return (*chunks, Response(id=command.id, outcome=Outcome.DONE, ts_ms=now_ms(), message="sent"))

    return answer


class AskedDevice:
    """Hears commands beside a simulated device, and answers as `answer` says."""

    def __init__(self, device: SimulatedDevice, *, port: int, answer: Answer) -> None:
        self.answer = answer
        self.commands: list[Command] = []
        self._address = device.address
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._hear
        self._client.connect("127.0.0.1", port)
        self._client.subscribe(device.address.topic(Channel.COMMAND), qos=1)
        self._client.loop_start()

    def send(self, *notices: Response | SnapshotChunk) -> None:
        for one in notices:
            channel = Channel.RESPONSE if isinstance(one, Response) else Channel.SNAPSHOT
            self._client.publish(self._address.topic(channel), encode_notice(one), qos=1)

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _hear(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        command = decode_notice(message.payload, Command)
        self.commands.append(command)
        self.send(*self.answer(command))
