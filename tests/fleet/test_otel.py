"""OpenTelemetry: what a real receiver gets, read by OpenTelemetry's own protobuf."""

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from edgewise_fleet.errors import OtelUnusable
from edgewise_fleet.otel import OtelExport
from edgewise_fleet.summary import Condition, DeviceSummary, FleetSummary

METRICS = {
    "board.temperature_c": 61.5,
    "model.errors": 7.0,
    "door/model.errors": 9.0,
    "door/board.temperature_c": 1.0,
    "own.metric": 3.0,
}


def a_device(name: str, condition: Condition) -> DeviceSummary:
    return DeviceSummary(
        group="lab", device=name, condition=condition, since_ms=1, last_seen_ms=1, metrics=METRICS
    )


FLEET = FleetSummary(
    now_ms=1,
    devices=(a_device("on", Condition.ONLINE), a_device("off", Condition.OFFLINE)),
    records=0,
    duplicates=0,
    malformed=0,
)


def test_a_real_receiver_gets_every_metric_of_devices_online_with_their_labels() -> None:
    got: list[ExportMetricsServiceRequest] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
            got.append(ExportMetricsServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.end_headers()
            self.wfile.write(ExportMetricsServiceResponse().SerializeToString())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as receiver:
        threading.Thread(target=receiver.serve_forever, args=(0.05,), daemon=True).start()
        export = OtelExport(
            lambda: FLEET, f"http://127.0.0.1:{receiver.server_port}/v1/metrics", interval_s=600
        )
        export.stop()
        receiver.shutdown()
    found = {}
    for resource in got[0].resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.gauge.data_points or metric.sum.data_points:
                    labels = tuple(sorted((one.key, one.value.string_value) for one in point.attributes))
                    found[metric.name, labels] = point.as_double or point.as_int
    on, off = (("device", "on"), ("group", "lab")), (("device", "off"), ("group", "lab"))
    assert found == {
        ("edgewise.board.temperature_c", on): 61.5,
        ("edgewise.model.errors", (*on, ("pipeline", "main"))): 7,
        ("edgewise.model.errors", (*on, ("pipeline", "door"))): 9,
        ("edgewise.device.up", on): 1,
        ("edgewise.device.up", off): 0,
    }


def test_an_address_of_another_kind_is_refused() -> None:
    with pytest.raises(OtelUnusable, match="expected http://host:4318"):
        OtelExport(lambda: FLEET, "localhost:4317")
