"""Real brokers, a real subscriber and real agent processes, as the agent's tests handle them."""

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from fleet.real_parts import EDGEWISE, WAIT_S, unused_port, wait_until
from paho.mqtt.enums import CallbackAPIVersion

from edgewise_messages import (
    AnyRecord,
    Channel,
    Clock,
    Command,
    DeviceAddress,
    Meta,
    Response,
    SnapshotChunk,
    Status,
    decode_notice,
    decode_records,
    encode_notice,
    parse_topic,
)

ADDRESS = DeviceAddress("test", "cam-1")


@dataclass
class Broker:
    """A mosquitto that forgets everything when it stops."""

    folder: Path
    port: int = field(default_factory=unused_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self, *more: str) -> None:
        lines = [f"listener {self.port} 127.0.0.1", "persistence false", "max_queued_messages 0", "user root"]
        if not any(line.startswith("allow_anonymous") for line in more):
            lines.append("allow_anonymous true")
        config = self.folder / "mosquitto.conf"
        config.write_text("\n".join([*lines, *more, ""]))
        environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"}
        with (self.folder / "mosquitto.log").open("ab") as log:
            self.process = subprocess.Popen(["mosquitto", "-c", str(config)], stderr=log, env=environment)
        wait_until(self._answers, "mosquitto answers")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(WAIT_S)
            self.process = None

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        return False


class Listener:
    """A subscriber that keeps the first of every (boot, seq), in the order of arrival."""

    def __init__(self, port: int) -> None:
        self.records: dict[tuple[str, int], AnyRecord] = {}
        self.repeats = 0
        self.statuses: list[Status] = []
        self.metas: list[Meta] = []
        self.responses: list[Response] = []
        self.chunks: list[SnapshotChunk] = []
        self._subscriptions = 0
        self._lock = threading.Lock()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="listener")
        self._client.on_connect = lambda client, *_: client.subscribe("edgewise/v1/#", qos=1)
        self._client.on_subscribe = self._subscribed
        self._client.on_message = self._hear
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self.wait_for_subscription(1)

    def wait_for_subscription(self, times: int) -> None:
        """Until it has subscribed so many times, once per connection."""
        wait_until(lambda: self._subscriptions >= times, f"the listener subscribed {times} times")

    @property
    def sequences(self) -> list[int]:
        with self._lock:
            return [seq for _, seq in self.records]

    @property
    def boots(self) -> list[str]:
        """In the order of their first record."""
        with self._lock:
            return list(dict.fromkeys(boot for boot, _ in self.records))

    def records_of(self, boot: str) -> int:
        with self._lock:
            return sum(1 for of, _ in self.records if of == boot)

    def events(self, name: str) -> list[Any]:
        with self._lock:
            return [record for record in self.records.values() if getattr(record, "name", "") == name]

    def telemetry(self) -> list[dict[str, Any]]:
        with self._lock:
            return [record.metrics for record in self.records.values() if hasattr(record, "metrics")]

    def wait_for(self, holds: Callable[[], Any], what: str) -> Any:
        return wait_until(holds, what)

    def wait_for_records(self, count: int) -> None:
        wait_until(lambda: len(self.records) >= count, f"{count} records arrived")

    def wait_for_state(self, state: str) -> Status:
        found: Status = wait_until(
            lambda: next((status for status in self.statuses[-1:] if status.state == state), None),
            f"the status says {state}",
        )
        return found

    def command(self, command: Command | bytes, *, retain: bool = False) -> None:
        payload = command if isinstance(command, bytes) else encode_notice(command)
        self._client.publish(ADDRESS.topic(Channel.COMMAND), payload, qos=1, retain=retain).wait_for_publish(
            WAIT_S
        )

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _subscribed(self, *_: Any) -> None:
        self._subscriptions += 1

    def _hear(self, client: Any, data: Any, message: mqtt.MQTTMessage) -> None:
        address, channel = parse_topic(message.topic)
        assert address == ADDRESS
        payload = bytes(message.payload)
        match channel:
            case Channel.STATUS:
                self.statuses.append(decode_notice(payload, Status))
            case Channel.META:
                self.metas.append(decode_notice(payload, Meta))
            case Channel.RESPONSE:
                self.responses.append(decode_notice(payload, Response))
            case Channel.SNAPSHOT:
                self.chunks.append(decode_notice(payload, SnapshotChunk))
            case Channel.COMMAND:
                pass
            case _:
                with self._lock:
                    for record in decode_records(payload).records:
                        key = (record.boot, record.seq)
                        self.repeats += key in self.records
                        self.records.setdefault(key, record)


class AgentProcess:
    """One `edgewise agent run`."""

    def __init__(self, config: Path, log: Path) -> None:
        self.log = log
        with log.open("ab") as stderr:
            self.process = subprocess.Popen(
                [EDGEWISE, "agent", "run", "--config", str(config)], stdout=subprocess.PIPE, stderr=stderr
            )

    @property
    def said(self) -> str:
        return self.log.read_text()

    def wait_until_said(self, text: str) -> None:
        wait_until(lambda: text in self.said, f"the agent said {text!r}")

    def kill(self) -> None:
        """kill -9."""
        self.end(signal.SIGKILL)

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.wait()

    def wait(self) -> int:
        code = self.process.wait(WAIT_S)
        assert self.process.stdout
        self.process.stdout.close()
        return code


def accepted(state_dir: Path, scratch: Path) -> int:
    """How many records the outbox ever accepted; read from a copy of its file, as reading recovers it."""
    copy = scratch / f"copy-{time.monotonic_ns()}.db"
    for suffix in ("", "-wal"):
        source = state_dir / f"outbox.db{suffix}"
        if source.exists():
            copy.with_name(copy.name + suffix).write_bytes(source.read_bytes())
    database = sqlite3.connect(copy)
    (count,) = database.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence").fetchone()
    database.close()
    return int(count)


@dataclass
class FakeTime:
    """A clock that tests set: a TimeSource, and seconds for whatever counts them."""

    wall_ms: int = 0
    mono_s: float = 1.0
    clock: Clock = Clock.UNSYNCED

    def now_ms(self) -> int:
        return self.wall_ms

    def mono_ns(self) -> int:
        return round(self.mono_s * 1e9)

    def state(self) -> Clock:
        return self.clock

    def now_s(self) -> float:
        return self.mono_s

    def pass_s(self, seconds: float) -> None:
        self.mono_s += seconds
        self.wall_ms += round(seconds * 1000)
