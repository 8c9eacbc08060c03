"""Messages that wait at a broker before anybody hears them, many and soon."""

import socket
import struct
import threading
import time

from fleet.simulated import plausible

from edgewise_fleet.receiving.packets import encode_length
from edgewise_messages import Telemetry, encode_records

START_MS = 1_789_948_800_000


def backlog(count: int, devices: int = 200, *, start_ms: int = START_MS) -> list[tuple[str, bytes]]:
    """Messages of a fleet that reports every ten seconds."""
    messages = []
    for i in range(count):
        device, turn = i % devices, i // devices
        record = Telemetry(
            ts_ms=start_ms + turn * 10_000, mono_ns=i, boot=f"boot{device}", seq=turn, metrics=plausible(i)
        )
        messages.append((f"edgewise/v1/lab/d{device}/telemetry", encode_records([record])))
    return messages


def publish(port: int, messages: list[tuple[str, bytes]]) -> None:
    """As fast as the broker takes it; written by hand, since a client library would be the slowest part."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        hello = b"\x00\x04MQTT\x04\x02\x00\x3c\x00\x05bench"
        connection.sendall(b"\x10" + encode_length(len(hello)) + hello)
        connection.recv(4)
        acknowledged = [0]

        def count_acknowledgements() -> None:
            heard = 0
            while heard < 4 * len(messages):
                heard += len(connection.recv(65536))
                acknowledged[0] = heard // 4

        reader = threading.Thread(target=count_acknowledgements)
        reader.start()
        for begin in range(0, len(messages), 200):
            connection.sendall(
                b"".join(_packet(i, *messages[i]) for i in range(begin, min(begin + 200, len(messages))))
            )
            while begin - acknowledged[0] > 20_000:
                time.sleep(0.005)
        reader.join()


def _packet(number: int, topic: str, payload: bytes) -> bytes:
    name = topic.encode()
    body = struct.pack(">H", len(name)) + name + struct.pack(">H", number % 60_000 + 1) + payload
    return b"\x32" + encode_length(len(body)) + body
