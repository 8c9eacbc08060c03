"""Devices for the tests: they publish what an agent publishes, over a real broker."""

import math
import time
import uuid

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from edgewise_messages import (
    AnyRecord,
    Channel,
    DeviceAddress,
    DeviceState,
    Event,
    Meta,
    ModelInfo,
    Status,
    Telemetry,
    encode_notice,
    encode_records,
)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class SimulatedDevice:
    """One device with a real MQTT connection and a Last Will."""

    def __init__(
        self, name: str, *, port: int, group: str = "lab", model: str = "efficientnet-lite0"
    ) -> None:
        self.address = DeviceAddress(group, name)
        self.boot = uuid.uuid4().hex
        self.model = model
        self.seq = 0
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"{group}-{name}-{self.boot[:8]}")
        will = self._status(DeviceState.OFFLINE, "connection lost")
        self._client.will_set(self.address.topic(Channel.STATUS), will, qos=1, retain=True)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def introduce(self, *, state: DeviceState = DeviceState.ONLINE, precision: str = "int8") -> None:
        """Publish the retained notices."""
        self.publish_raw(Channel.STATUS, self._status(state), retain=True)
        meta = Meta(
            ts_ms=now_ms(),
            boot=self.boot,
            board="Raspberry Pi 4 Model B Rev 1.4",
            agent_version="0.1.0",
            settings_sha256="7f3c" * 16,
            model=ModelInfo(
                name=self.model,
                sha256="ab12" * 16,
                task="image classification",
                precision=precision,
                target="rpi4",
                backend="litert",
            ),
            versions={"python": "3.11.9", "edgewise": "0.1.0"},
        )
        self.publish_raw(Channel.META, encode_notice(meta), retain=True)

    def telemetry(self, metrics: dict[str, float], *, ts_ms: int | None = None) -> Telemetry:
        """The next record; not yet published."""
        self.seq += 1
        return Telemetry(
            ts_ms=now_ms() if ts_ms is None else ts_ms,
            mono_ns=self.seq * 1_000_000_000,
            boot=self.boot,
            seq=self.seq,
            metrics=dict(metrics),
        )

    def event(self, name: str, **fields: object) -> Event:
        """The next event; not yet published."""
        self.seq += 1
        stamp = {"ts_ms": now_ms(), "mono_ns": self.seq * 1_000_000_000, "boot": self.boot, "seq": self.seq}
        return Event(**{**stamp, "name": name, **fields})  # type: ignore[arg-type]  # keywords by name, checked when called

    def publish(self, *records: AnyRecord, channel: Channel = Channel.TELEMETRY) -> None:
        """Publish the records in one message and wait for the broker's acknowledgement."""
        self.publish_raw(channel, encode_records(list(records)))

    def publish_burst(self, count: int) -> None:
        """Publish as fast as the broker takes it; return when it has acknowledged the last."""
        topic = self.address.topic(Channel.TELEMETRY)
        sent = [
            self._client.publish(topic, encode_records([self.telemetry(plausible(step))]), qos=1)
            for step in range(count)
        ]
        for one in sent:
            one.wait_for_publish(60)
            assert one.is_published()

    def publish_raw(self, channel: Channel, payload: bytes, *, retain: bool = False) -> None:
        sent = self._client.publish(self.address.topic(channel), payload, qos=1, retain=retain)
        sent.wait_for_publish(60)
        assert sent.is_published()

    def vanish(self) -> None:
        """Lose the connection without a word: the broker publishes the Last Will."""
        self._client.loop_stop()
        sock = self._client.socket()
        if sock is not None:
            sock.close()

    def stop(self) -> None:
        """Disconnect in order."""
        self._client.disconnect()
        self._client.loop_stop()

    def _status(self, state: DeviceState, reason: str = "") -> bytes:
        return encode_notice(Status(state=state, ts_ms=now_ms(), boot=self.boot, reason=reason))


def plausible(step: int, *, slow: float = 1.0, throttled: int = 0) -> dict[str, float]:
    """Metrics like a Pi's, moving with the step."""
    swing = math.sin(step / 9) + 0.3 * math.sin(step / 2.3)
    return {
        "model.inferences": 40.0 * step,
        "model.errors": 0,
        "model.throughput_per_s": (38 - 2 * swing) / slow,
        "model.latency_p50_ms": (24 + 1.2 * swing) * slow,
        "model.latency_p95_ms": (29 + 2.4 * swing + (9 if step % 17 == 0 else 0)) * slow,
        "model.invoke_p50_ms": (21 + swing) * slow,
        "model.confidence_mean": 0.78 + 0.05 * swing,
        "board.cpu_percent": 62 + 6 * swing,
        "board.memory_used_percent": 41 + 0.02 * step,
        "board.memory_available_bytes": 2.1e9,
        "board.temperature_c": 58 + 0.03 * step + swing + (18 if throttled else 0),
        "board.throttled_now": throttled,
        "board.disk_free_bytes": 21e9,
        "agent.memory_bytes": 61e6,
        "agent.outbox_records": 0,
        "agent.uptime_s": 5.0 * step,
    }
