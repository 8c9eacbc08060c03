"""Bytes on the wire for one telemetry interval, by profile and form.

The records are a real agent's: it runs the tiny model of `edgewise.testing` on pictures without a broker, and its
outbox is read. Readings that only a Pi has (temperature, throttling) and drift metrics are added with plausible values,
as a device in the field sends them. "Packet" is the whole MQTT 3.1.1 PUBLISH: fixed header, topic, packet id at QoS 1,
payload.

    .venv/bin/python benchmarks/wire_size.py
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from edgewise.testing import write_tiny_model
from edgewise_agent.clock import SystemClock
from edgewise_agent.outbox.batches import Batch
from edgewise_agent.outbox.outbox import Outbox
from edgewise_agent.wire.settings import SparkplugSettings
from edgewise_agent.wire.sparkplug.profile import SparkplugProfile
from edgewise_messages import (
    AnyRecord,
    Channel,
    DeviceAddress,
    Format,
    Meta,
    Telemetry,
    decode_record,
    encode_record,
    encode_records,
)
from edgewise_messages.metrics import BY_NAME

EDGEWISE = Path(sys.executable).with_name("edgewise")
ADDRESS = DeviceAddress("greenhouse", "cam-1")
WANTED = 12
LIMIT = 0.55
ON_A_PI: Mapping[str, float | int] = {
    "board.temperature_c": 61.83,
    "board.throttled_now": 0,
    "board.throttled_since_boot": 5,
    "drift.moved": 0,
    "drift.psi_inputs": 0.142318,
    "drift.psi_confidence": 0.0871204,
    "drift.psi_margin": 0.0934415,
    "drift.psi_classes": 0.203114,
    "drift.switch_rate": 0.315,
}


def agents_records(folder: Path) -> list[Telemetry]:
    """What a real agent recorded in a few seconds."""
    write_tiny_model(folder / "tiny.tflite")
    Image.new("RGB", (32, 32), "red").save(folder / "a.png")
    config = folder / "agent.toml"
    config.write_text(
        'device = {id = "cam-1", group = "greenhouse", state_dir = "state"}\n'
        'pipelines.main = {model = "tiny.tflite", source = "a.png", interval_s = 0.02}\nbroker = {url = "mqtt://127.0.0.1:1"}\n'
        "report = {interval_s = 0.5}\noutbox = {commit_interval_s = 0.1}\n"
    )
    with subprocess.Popen([EDGEWISE, "agent", "run", "--config", config], stderr=subprocess.DEVNULL) as agent:
        time.sleep(WANTED * 0.5 + 4)
        agent.terminate()
    outbox = Outbox(folder / "state/outbox.db", max_bytes=2**24)
    bodies = [body for batch in outbox.lease() if batch.channel == Channel.TELEMETRY for body in batch.bodies]
    outbox.close()
    records = [decode_record(body) for body in bodies]
    return [with_readings(record) for record in records if isinstance(record, Telemetry)][1 : WANTED + 1]


def with_readings(record: Telemetry) -> Telemetry:
    """With what this machine cannot read."""
    return Telemetry(
        ts_ms=record.ts_ms,
        mono_ns=record.mono_ns,
        boot=record.boot,
        seq=record.seq,
        clock=record.clock,
        metrics={**record.metrics, **ON_A_PI},
    )


def flat_json(record: Telemetry) -> bytes:
    """The least that JSON needs: one object of all values."""
    head = {"ts_ms": record.ts_ms, "mono_ns": record.mono_ns, "boot": record.boot, "seq": record.seq}
    return compact_json({**head, "clock": record.clock.value, **record.metrics})


def verbose_json(record: Telemetry) -> bytes:
    """One object for each metric, as many platforms take it."""
    metrics = [
        {"name": name, "value": value, "unit": BY_NAME[name].unit, "timestamp": record.ts_ms}
        for name, value in record.metrics.items()
    ]
    return compact_json(
        {"boot": record.boot, "seq": record.seq, "clock": record.clock.value, "metrics": metrics}
    )


def compact_json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def sparkplug(records: list[Telemetry], folder: Path, *, changes_only: bool) -> tuple[bytes, str]:
    """The NDATA of the last record: all metrics, or what changed since the one before."""
    profile = SparkplugProfile(
        ADDRESS,
        SparkplugSettings(),
        boot=records[0].boot if changes_only else "other",
        clock=StoppedClock(),
        meta=lambda: Meta(ts_ms=1, boot="b"),
        bd_seq_file=folder / "bdseq.json",
        keepalive_s=30,
    )
    session = profile.begin()
    session.due()
    *_, message = [
        message
        for record in records[-2:]
        for message in session.records(Batch("telemetry", (encode_record(record),), (record.seq,)))
    ]
    return message.payload, message.topic


class StoppedClock(SystemClock):
    """Before all records, so that they are live."""

    def mono_ns(self) -> int:
        """The beginning."""
        return 0


def packet_bytes(payload: bytes, topic: str, *, qos: int) -> int:
    """MQTT 3.1.1, 2.2 and 3.3: type and flags, remaining length, topic, packet id."""
    rest = 2 + len(topic) + (2 if qos else 0) + len(payload)
    length_bytes = 1 + (rest > 127) + (rest > 16383)
    return 1 + length_bytes + rest


def main() -> None:
    """Print the table of docs/agent/wire.md; exit code 1 when compact is above its limit."""
    with tempfile.TemporaryDirectory() as folder:
        records = agents_records(Path(folder))
        one = records[-1]
        several: list[AnyRecord] = list(records)
        topic = ADDRESS.topic(Channel.TELEMETRY)
        rows = [
            ("flat JSON, one object (the yardstick)", flat_json(one), topic, 1, 1),
            ("verbose JSON, one object a metric", verbose_json(one), topic, 1, 1),
            *(
                (f"profile json, format {form.value}", encode_records([one], form), topic, 1, 1)
                for form in Format
            ),
            *(
                (
                    f"format {form.value}, {len(several)} records a publish",
                    encode_records(several, form),
                    topic,
                    1,
                    len(several),
                )
                for form in Format
            ),
            (
                "sparkplug, all metrics by alias, is_historical",
                *sparkplug(records, Path(folder), changes_only=False),
                0,
                1,
            ),
            ("sparkplug, what changed", *sparkplug(records, Path(folder), changes_only=True), 0, 1),
        ]
    yardstick = packet_bytes(rows[0][1], topic, qos=1)
    print(
        f"{len(one.metrics)} metrics\n\n| form | payload, bytes | packet a record | of flat JSON |\n|---|---|---|---|"
    )
    shares = {}
    for what, payload, where, qos, count in rows:
        packet = packet_bytes(payload, where, qos=qos) / count
        shares[what] = packet / yardstick
        print(f"| {what} | {len(payload)} | {packet:.0f} | {shares[what]:.2f} |")
    if shares["profile json, format compact"] > LIMIT:
        sys.exit(
            f"compact: {shares['profile json, format compact']:.2f} of flat JSON, expected at most {LIMIT}"
        )


if __name__ == "__main__":
    main()
