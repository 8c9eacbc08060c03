"""Numbers for metric names, so that a compact publish need not spell them out.

A table is named by the digest of its names, and the publish carries that digest: the same number under another
table is another digest, so a number is never read as the wrong name. A table never changes once released. A
metric without a number in the latest table is spelled out in full; when many are, add a table and write with
that one, keeping the older ones to read with.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class MetricTable:
    """Metric names by their position."""

    names: tuple[str, ...]

    @cached_property
    def digest(self) -> int:
        """The first 32 bits of the SHA-256 of the names, one a line."""
        return int.from_bytes(hashlib.sha256("\n".join(self.names).encode()).digest()[:4], "big")

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The position of each name."""
        return {name: number for number, name in enumerate(self.names)}


FIRST = MetricTable(
    (
        "model.inferences",
        "model.errors",
        "model.dropped_inputs",
        "model.throughput_per_s",
        "model.latency_p50_ms",
        "model.latency_p95_ms",
        "model.latency_p99_ms",
        "model.preprocess_p50_ms",
        "model.preprocess_p95_ms",
        "model.invoke_p50_ms",
        "model.invoke_p95_ms",
        "model.postprocess_p95_ms",
        "model.input_pixels",
        "model.confidence_mean",
        "rules.failures",
        "sampling.left_out",
        "snapshots.count",
        "snapshots.size_bytes",
        "snapshots.failures",
        "offload.asked",
        "offload.answered",
        "drift.moved",
        "drift.psi_inputs",
        "drift.psi_confidence",
        "drift.psi_margin",
        "drift.psi_classes",
        "drift.psi_embedding",
        "drift.switch_rate",
        "board.cpu_percent",
        "board.cpu_others_percent",
        "board.cpu_pressure_percent",
        "board.cpu_frequency_mhz",
        "board.load_average",
        "board.memory_used_percent",
        "board.memory_available_bytes",
        "board.memory_pressure_percent",
        "board.swap_used_bytes",
        "board.temperature_c",
        "board.throttled_now",
        "board.throttled_since_boot",
        "board.disk_used_percent",
        "board.disk_free_bytes",
        "board.disk_written_bytes",
        "board.card_life_used_percent",
        "board.card_pre_eol",
        "network.received_bytes",
        "network.sent_bytes",
        "network.errors",
        "network.dropped",
        "network.signal_dbm",
        "power.measured_w",
        "power.estimated_w",
        "energy.inference_measured_mj",
        "energy.inference_estimated_mj",
        "agent.memory_bytes",
        "agent.pss_bytes",
        "agent.cpu_percent",
        "agent.threads",
        "agent.open_files",
        "agent.queued_inputs",
        "agent.outbox_records",
        "agent.outbox_bytes",
        "agent.dropped_records",
        "agent.quarantined_records",
        "agent.written_bytes_per_day",
        "agent.uptime_s",
    )
)
LATEST = FIRST
BY_DIGEST = {table.digest: table for table in (FIRST,)}
