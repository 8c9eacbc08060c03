"""Devices that know every node of a cluster, and remember what was acknowledged to them."""

import queue
import threading
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from edgewise_agent.connection.backoff import Backoff
from edgewise_agent.connection.broker_url import BrokerUrl
from edgewise_agent.connection.connector import Connector
from edgewise_agent.connection.courier import Courier
from edgewise_agent.outbox.outbox import Outbox
from edgewise_agent.settings.config import BrokerSettings
from edgewise_agent.wire.json_profile import JsonProfile
from edgewise_messages import Channel, Clock, DeviceAddress, Meta, Telemetry, encode_record, encode_records

UNDER_WAY = 50
PAUSE_S = 0.01
FIRST_MS = time.time_ns() // 1_000_000 - 3_600_000


def record(boot: str, seq: int) -> Telemetry:
    """What tells it from every other record of its device: its time, and its values."""
    return Telemetry(
        ts_ms=FIRST_MS + seq,
        mono_ns=seq,
        boot=boot,
        seq=seq,
        clock=Clock.NTP,
        metrics={"number": seq, "half": seq / 2},
    )


class PlainDevice:
    """QoS 1 by paho; after the loss of a node what was not acknowledged goes to the next."""

    def __init__(self, name: str, nodes: Sequence[tuple[str, int]]) -> None:
        self.address = DeviceAddress("lab", name)
        self.boot = uuid.uuid4().hex
        self.acknowledged: set[int] = set()
        self.losses = 0
        self._nodes = nodes
        self._open: dict[int, bytes] = {}
        """By seq, oldest first."""
        self._seq = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Once all that was begun is acknowledged."""
        self._stopping.set()
        self._thread.join(120)
        assert not self._thread.is_alive(), f"{self.address.device}: {len(self._open)} not acknowledged"

    def _run(self) -> None:
        at = 0
        while not self._is_done():
            try:
                self._session(*self._nodes[at % len(self._nodes)])
            except OSError:
                time.sleep(0.2)
            at += 1
            self.losses += 1

    def _session(self, host: str, port: int) -> None:
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=f"{self.address.device}-{self.losses}", reconnect_on_failure=False
        )  # fmt: skip
        ended, welcome = threading.Event(), threading.Event()
        under_way: list[tuple[paho.MQTTMessageInfo, int]] = []
        client.on_connect = lambda _c, _d, _f, reason, _p: (ended if reason.is_failure else welcome).set()
        client.on_disconnect = lambda *_: ended.set()
        client.connect(host, port, keepalive=10)
        client.loop_start()
        if welcome.wait(10):
            again = list(self._open)
            while not ended.is_set() and not self._is_done():
                if len(under_way) < UNDER_WAY and (again or not self._stopping.is_set()):
                    seq = again.pop(0) if again else self._next()
                    topic = self.address.topic(Channel.TELEMETRY)
                    under_way.append((client.publish(topic, self._open[seq], qos=1), seq))
                time.sleep(PAUSE_S)
                under_way = [one for one in under_way if not self._note(*one)]
        client.disconnect()
        client.loop_stop()

    def _is_done(self) -> bool:
        return self._stopping.is_set() and not self._open

    def _note(self, sent: paho.MQTTMessageInfo, seq: int) -> bool:
        if sent.rc != paho.MQTT_ERR_SUCCESS or not sent.is_published():
            return False
        del self._open[seq]
        self.acknowledged.add(seq)
        return True

    def _next(self) -> int:
        self._seq += 1
        self._open[self._seq] = encode_records([record(self.boot, self._seq)])
        return self._seq


class AgentDevice:
    """The agent's own outbox and courier."""

    def __init__(self, name: str, folder: Path, urls: Sequence[str]) -> None:
        self.address = DeviceAddress("lab", name)
        self.boot = uuid.uuid4().hex
        self.outbox = Outbox(folder / f"{name}.db", max_bytes=2**26)
        self._appended = 0
        self._stopping = threading.Event()
        settings = BrokerSettings(
            url=tuple(BrokerUrl(url) for url in urls), keepalive_s=10, reconnect_max_s=2.0
        )
        profile = JsonProfile(
            self.address,
            boot=self.boot,
            meta=lambda: Meta(ts_ms=FIRST_MS, boot=self.boot),
            now_ms=lambda: time.time_ns() // 1_000_000,
            responses=queue.SimpleQueue(),
            on_command=lambda payload, retained: None,
        )
        connector = Connector(settings, client_id=f"lab-{name}")
        self._courier = Courier(self.outbox, connector, profile, Backoff(name, longest_s=2.0))
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def acknowledged(self) -> set[int]:
        """All that is no longer in the outbox; numbers begin at 1."""
        waiting = self.outbox.state().records
        return set(range(1, self._appended + 1 - waiting))

    def start(self) -> None:
        self._courier.start()
        self._thread.start()

    def stop(self) -> None:
        """Once the outbox is empty."""
        self._stopping.set()
        self._thread.join()
        deadline = time.monotonic() + 120
        while self.outbox.state().records and time.monotonic() < deadline:
            self.outbox.commit()
            time.sleep(0.2)
        state = self.outbox.state()
        self._courier.stop(reason="end", drain_s=5.0)
        self.outbox.close()
        assert (state.records, state.quarantined) == (0, 0), state

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.outbox.append(Channel.TELEMETRY, lambda seq: encode_record(record(self.boot, seq)))
            self._appended += 1
            if self._appended % 20 == 0:
                self.outbox.commit()
            time.sleep(PAUSE_S)
