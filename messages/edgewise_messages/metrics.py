"""The standard metric names: one schema for every wire profile, table, plot and Prometheus series."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """How a metric behaves over time."""

    GAUGE = "gauge"
    COUNTER = "counter"


@dataclass(frozen=True)
class Metric:
    """One metric: its unit as in the name's last part, and what it means."""

    name: str
    unit: str
    kind: Kind
    meaning: str


STANDARD = (
    Metric("model.inferences", "1", Kind.COUNTER, "inferences since the agent started"),
    Metric("model.errors", "1", Kind.COUNTER, "inputs that could not be read or run since the agent started"),
    Metric("model.dropped_inputs", "1", Kind.COUNTER, "inputs left out because the model was busy, since the start"),
    Metric("model.throughput_per_s", "1/s", Kind.GAUGE, "inferences per second over the reporting interval"),
    Metric("model.latency_p50_ms", "ms", Kind.GAUGE, "median of read-to-result over the interval"),
    Metric("model.latency_p95_ms", "ms", Kind.GAUGE, "95th percentile of read-to-result over the interval"),
    Metric("model.latency_p99_ms", "ms", Kind.GAUGE, "99th percentile of read-to-result over the interval"),
    Metric("model.preprocess_p50_ms", "ms", Kind.GAUGE, "median time from the input to the tensor"),
    Metric("model.preprocess_p95_ms", "ms", Kind.GAUGE, "95th percentile of the same"),
    Metric("model.invoke_p50_ms", "ms", Kind.GAUGE, "median time in the runtime over the interval"),
    Metric("model.invoke_p95_ms", "ms", Kind.GAUGE, "95th percentile of the same"),
    Metric("model.postprocess_p95_ms", "ms", Kind.GAUGE, "95th percentile of the time from the outputs to the answer"),
    Metric("model.input_pixels", "1", Kind.GAUGE, "mean pixels of the inputs over the interval"),
    Metric("model.confidence_mean", "1", Kind.GAUGE, "mean confidence of the first answer over the interval"),
    Metric("rules.failures", "1", Kind.COUNTER, "rules without a value for an answer since the agent started"),
    Metric("sampling.left_out", "1", Kind.COUNTER, "predictions chosen to be told and not told for the limit a minute"),
    Metric("snapshots.count", "1", Kind.GAUGE, "inputs kept on the device"),
    Metric("snapshots.size_bytes", "B", Kind.GAUGE, "size of the inputs kept on the device"),
    Metric("snapshots.failures", "1", Kind.COUNTER, "inputs that could not be kept since the agent started"),
    Metric("offload.asked", "1", Kind.COUNTER, "inputs that edge servers were asked about since the agent started"),
    Metric("offload.answered", "1", Kind.COUNTER, "of those, how many had an answer that counts"),
    Metric("drift.moved", "1", Kind.GAUGE, "statistics that moved from the card's baseline; 0 without drift"),
    Metric("drift.psi_inputs", "1", Kind.GAUGE, "largest stability index of the pictures' statistics"),
    Metric("drift.psi_confidence", "1", Kind.GAUGE, "stability index of the first answer's confidence"),
    Metric("drift.psi_margin", "1", Kind.GAUGE, "stability index of first less second answer"),
    Metric("drift.psi_classes", "1", Kind.GAUGE, "stability index of the first answers' classes"),
    Metric("drift.psi_embedding", "1", Kind.GAUGE, "stability index of embeddings' distance from their mean direction"),
    Metric("drift.switch_rate", "1", Kind.GAUGE, "share of answers that differ from the one before"),
    Metric("board.cpu_percent", "%", Kind.GAUGE, "processor use, all cores, 0 to 100"),
    Metric("board.cpu_others_percent", "%", Kind.GAUGE, "processor use by all but the agent, all cores, 0 to 100"),
    Metric("board.cpu_pressure_percent", "%", Kind.GAUGE, "share of ten seconds in which a task waited for a core"),
    Metric("board.cpu_frequency_mhz", "MHz", Kind.GAUGE, "clock of the cores just now, their mean"),
    Metric("board.load_average", "1", Kind.GAUGE, "tasks that wanted to run, over the last minute"),
    Metric("board.memory_used_percent", "%", Kind.GAUGE, "memory in use"),
    Metric("board.memory_available_bytes", "B", Kind.GAUGE, "memory that programs can still get"),
    Metric("board.memory_pressure_percent", "%", Kind.GAUGE, "share of ten seconds in which a task waited for memory"),
    Metric("board.swap_used_bytes", "B", Kind.GAUGE, "swap in use"),
    Metric("board.temperature_c", "°C", Kind.GAUGE, "processor temperature"),
    Metric("board.throttled_now", "bitmask", Kind.GAUGE, "1 under-voltage, 2 capped, 4 throttled, 8 warm"),
    Metric("board.throttled_since_boot", "bitmask", Kind.GAUGE, "the same bits, what happened since boot"),
    Metric("board.disk_used_percent", "%", Kind.GAUGE, "use of the file system that holds the outbox"),
    Metric("board.disk_free_bytes", "B", Kind.GAUGE, "free bytes of that file system"),
    Metric("board.disk_written_bytes", "B", Kind.COUNTER, "written to the state's block device since boot"),
    Metric("board.card_life_used_percent", "%", Kind.GAUGE, "life used, by the eMMC itself, in steps of 10"),
    Metric("board.card_pre_eol", "1", Kind.GAUGE, "spare blocks of the eMMC: 1 normal, 2 80 % used, 3 90 % used"),
    Metric("network.received_bytes", "B", Kind.COUNTER, "received on the interface in use"),
    Metric("network.sent_bytes", "B", Kind.COUNTER, "sent on the interface in use"),
    Metric("network.errors", "1", Kind.COUNTER, "packets with errors on the interface in use"),
    Metric("network.dropped", "1", Kind.COUNTER, "packets dropped on the interface in use"),
    Metric("network.signal_dbm", "dBm", Kind.GAUGE, "level of the wireless signal"),
    Metric("power.measured_w", "W", Kind.GAUGE, "mean power over the interval by a meter; meta says of what"),
    Metric("power.estimated_w", "W", Kind.GAUGE, "power from published figures of this board; not measured"),
    Metric("energy.inference_measured_mj", "mJ", Kind.GAUGE, "measured power while the model works times its time"),
    Metric("energy.inference_estimated_mj", "mJ", Kind.GAUGE, "the same from published figures; not measured"),
    Metric("agent.memory_bytes", "B", Kind.GAUGE, "resident memory of the agent's process"),
    Metric("agent.pss_bytes", "B", Kind.GAUGE, "memory of the agent's process, shared pages by their share (PSS)"),
    Metric("agent.cpu_percent", "%", Kind.GAUGE, "processor use of the agent, of one core"),
    Metric("agent.threads", "1", Kind.GAUGE, "threads of the agent's process"),
    Metric("agent.open_files", "1", Kind.GAUGE, "open files of the agent's process"),
    Metric("agent.queued_inputs", "1", Kind.GAUGE, "inputs that wait for the model"),
    Metric("agent.outbox_records", "1", Kind.GAUGE, "records waiting for the broker"),
    Metric("agent.outbox_bytes", "B", Kind.GAUGE, "size of the outbox on disk"),
    Metric("agent.dropped_records", "1", Kind.COUNTER, "records ever thinned out of a full outbox"),
    Metric("agent.quarantined_records", "1", Kind.COUNTER, "records ever put aside as no broker takes them"),
    Metric("agent.written_bytes_per_day", "B/d", Kind.GAUGE, "written to the SD card, at the pace of the last day"),
    Metric("agent.uptime_s", "s", Kind.GAUGE, "seconds since the agent started"),
)  # fmt: skip

PIPELINE_SEPARATOR = "/"
"""Metrics of other pipelines than the main one begin with the pipeline's name and this."""


def split_name(name: str) -> tuple[str, str]:
    """The pipeline, "" for the main one and for the device, and the standard name."""
    pipeline, separator, metric = name.rpartition(PIPELINE_SEPARATOR)
    return (pipeline, metric) if separator else ("", name)


BY_NAME = {metric.name: metric for metric in STANDARD}
