"""The fleet's metrics by OpenTelemetry (OTLP over HTTP); the only file that knows opentelemetry.

The same metrics and labels as for Prometheus, with OpenTelemetry's names: `edgewise.board.temperature_c`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from edgewise_fleet.errors import OtelUnusable
from edgewise_fleet.exposition import MAIN_PIPELINE, OF_PIPELINES
from edgewise_fleet.summary import Condition, FleetSummary
from edgewise_messages.metrics import STANDARD, Kind, Metric, split_name

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Observation

INTERVAL_S = 30.0
UCUM = {"°C": "Cel", "B": "By", "B/d": "By/d"}
"""OpenTelemetry takes units of the UCUM in ASCII (https://ucum.org)."""
_MISSING = "OpenTelemetry is not installed: pip install 'edgewise[fleet,otel]'"


class OtelExport:
    """Sends all metrics regularly from a thread of its own; `stop` sends once more and ends it."""

    def __init__(
        self, read: Callable[[], FleetSummary], endpoint: str, *, interval_s: float = INTERVAL_S
    ) -> None:
        """``endpoint`` is http://host:4318/v1/metrics. Raises OtelUnusable."""
        if not endpoint.startswith(("http://", "https://")):
            raise OtelUnusable(f"--otlp: got {endpoint!r}, expected http://host:4318/v1/metrics")
        try:
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
            from opentelemetry.sdk.metrics import MeterProvider
            from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
            from opentelemetry.sdk.resources import Resource
        except ImportError as error:
            raise OtelUnusable(_MISSING) from error
        reader = PeriodicExportingMetricReader(
            OTLPMetricExporter(endpoint=endpoint), export_interval_millis=interval_s * 1000
        )
        resource = Resource.create({"service.name": "edgewise-fleet"})
        self._provider = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
        self._read = read
        self._begin()

    def stop(self) -> None:
        """Send the last values and end."""
        self._provider.shutdown(timeout_millis=5000)

    def _begin(self) -> None:
        meter = self._provider.get_meter("edgewise_fleet")
        for metric in STANDARD:
            make = (
                meter.create_observable_counter
                if metric.kind is Kind.COUNTER
                else meter.create_observable_gauge
            )
            make(
                f"edgewise.{metric.name}",
                [self._observer(metric)],
                UCUM.get(metric.unit, metric.unit),
                metric.meaning,
            )
        meter.create_observable_gauge("edgewise.device.up", [self._up], "1", "1 while the device is online")

    def _observer(self, metric: Metric) -> Callable[[CallbackOptions], Iterable[Observation]]:
        from opentelemetry.metrics import Observation

        def observe(_: CallbackOptions) -> Iterable[Observation]:
            for device in self._read().devices:
                if device.condition is not Condition.ONLINE:
                    continue
                labels = {"group": device.group, "device": device.device}
                for key, value in device.metrics.items():
                    pipeline, name = split_name(key)
                    if name != metric.name:
                        continue
                    if name.startswith(OF_PIPELINES):
                        yield Observation(value, {**labels, "pipeline": pipeline or MAIN_PIPELINE})
                    elif not pipeline:
                        yield Observation(value, labels)

        return observe

    def _up(self, _: CallbackOptions) -> Iterable[Observation]:
        from opentelemetry.metrics import Observation

        for device in self._read().devices:
            online = int(device.condition is Condition.ONLINE)
            yield Observation(online, {"group": device.group, "device": device.device})
