"""The fleet as Prometheus reads it: the only file that knows prometheus-client.

Every standard metric of every device becomes `edgewise_<metric>{group, device}`, for example
`edgewise_board_temperature_c`; those of a model have a label ``pipeline``, too. Metrics outside the standard list stay
in the store: their names come from devices, and a series name must not.
"""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from edgewise_fleet.summary import Condition, DeviceSummary, FleetSummary
from edgewise_messages.metrics import STANDARD, Kind, split_name

CONTENT_TYPE = CONTENT_TYPE_LATEST
LABELS = ("group", "device")
PIPELINE_LABEL, MAIN_PIPELINE = "pipeline", "main"
OF_PIPELINES = ("model.", "drift.")


class _FleetCollector(Collector):
    def __init__(self, read: Callable[[], FleetSummary]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        fleet = self._read()
        yield from _server_metrics(fleet)
        yield from _device_states(fleet.devices)
        yield from _device_metrics(fleet.devices)


def expose(read: Callable[[], FleetSummary]) -> bytes:
    """The whole fleet in Prometheus's text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_FleetCollector(read))
    return generate_latest(registry)


def _server_metrics(fleet: FleetSummary) -> Iterable[Metric]:
    for name, meaning, value in (
        ("records", "records stored over the store's whole life", fleet.records),
        ("duplicate_records", "records that had arrived before", fleet.duplicates),
        ("malformed_messages", "messages that could not be read", fleet.malformed),
        ("unknown_records", "records of a type this version does not know", fleet.unknown),
    ):
        yield CounterMetricFamily(f"edgewise_fleet_{name}", meaning, value=value)
    connected = float(bool(fleet.broker_connected))
    yield GaugeMetricFamily(
        "edgewise_fleet_broker_connected", "1 while the broker is connected", value=connected
    )
    devices = GaugeMetricFamily("edgewise_fleet_devices", "devices by condition", labels=("condition",))
    for condition in Condition:
        devices.add_metric((condition.value,), fleet.count(condition))
    yield devices


def _device_states(devices: tuple[DeviceSummary, ...]) -> Iterable[Metric]:
    up = GaugeMetricFamily("edgewise_device_up", "1 while the device is online", labels=LABELS)
    seen = GaugeMetricFamily(
        "edgewise_device_last_seen_timestamp_seconds", "when the host last heard the device", labels=LABELS
    )
    info = InfoMetricFamily("edgewise_device", "what the device is and runs", labels=LABELS)
    for device in devices:
        key = (device.group, device.device)
        up.add_metric(key, float(device.condition is Condition.ONLINE))
        seen.add_metric(key, device.last_seen_ms / 1000)
        facts = ("model", "precision", "backend", "board", "agent_version")
        info.add_metric(key, {name: getattr(device, name) for name in facts})
    yield from (up, seen, info)


def _device_metrics(devices: tuple[DeviceSummary, ...]) -> Iterable[Metric]:
    families = {}
    for metric in STANDARD:
        family = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
        labels = (*LABELS, PIPELINE_LABEL) if metric.name.startswith(OF_PIPELINES) else LABELS
        name = f"edgewise_{metric.name.replace('.', '_')}"
        families[metric.name] = family(name, metric.meaning, labels=labels)
    for device in devices:
        if device.condition is not Condition.ONLINE:
            continue  # a flat line from a device that is away would look like a healthy one
        for key, value in device.metrics.items():
            pipeline, name = split_name(key)
            if name in families and (not pipeline or name.startswith(OF_PIPELINES)):
                whose = (pipeline or MAIN_PIPELINE,) if name.startswith(OF_PIPELINES) else ()
                families[name].add_metric((device.group, device.device, *whose), value)
    yield from families.values()
