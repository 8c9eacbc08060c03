"""The Prometheus endpoint, read by Prometheus's own parser."""

from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from edgewise_fleet.exposition import expose
from edgewise_fleet.summary import Condition, DeviceSummary, FleetSummary
from edgewise_messages.metrics import STANDARD

CAMERA = DeviceSummary(
    group="lab",
    device="camera",
    condition=Condition.ONLINE,
    since_ms=5_000,
    last_seen_ms=5_000,
    model='net "odd" \\ name',
    metrics={metric.name: 2.5 for metric in STANDARD} | {"my.own.metric": 1.0},
)
FLEET = FleetSummary(
    now_ms=6_000, devices=(CAMERA,), records=7, duplicates=1, malformed=2, unknown=3, broker_connected=True
)


def samples(fleet: FleetSummary = FLEET) -> dict[str, tuple[dict[str, str], float]]:
    families = text_string_to_metric_families(expose(lambda: fleet).decode())
    return {one.name: (one.labels, one.value) for family in families for one in family.samples}


def test_every_standard_metric_is_a_series_with_group_and_device() -> None:
    found = samples()
    for metric in STANDARD:
        name = f"edgewise_{metric.name.replace('.', '_')}" + ("_total" if metric.kind == "counter" else "")
        whose = {"pipeline": "main"} if metric.name.startswith(("model.", "drift.")) else {}
        assert found[name] == ({"group": "lab", "device": "camera", **whose}, 2.5)


def test_models_of_several_pipelines_are_series_side_by_side_and_a_device_cannot_make_up_more() -> None:
    metrics = {
        "model.errors": 1.0,
        "door/model.errors": 2.0,
        "door/board.temperature_c": 3.0,
        "door/own": 4.0,
    }
    fleet = replace(FLEET, devices=(replace(CAMERA, metrics=metrics),))
    lines = expose(lambda: fleet).decode().splitlines()
    assert {
        line for line in lines if line.startswith(("edgewise_model_errors_total{", "edgewise_board"))
    } == {
        'edgewise_model_errors_total{device="camera",group="lab",pipeline="main"} 1.0',
        'edgewise_model_errors_total{device="camera",group="lab",pipeline="door"} 2.0',
    }


def test_a_device_that_is_away_has_no_metrics_but_is_known_to_be_down() -> None:
    away = replace(FLEET, devices=(replace(CAMERA, condition=Condition.OFFLINE),))
    found = samples(away)
    assert found["edgewise_device_up"][1] == 0
    assert "edgewise_model_latency_p50_ms" not in found


def test_metrics_that_devices_made_up_make_no_series() -> None:
    assert not [name for name in samples() if "my_own" in name]


def test_the_server_tells_what_it_collected() -> None:
    found = samples()
    assert found["edgewise_fleet_records_total"][1] == 7
    assert found["edgewise_fleet_duplicate_records_total"][1] == 1
    assert found["edgewise_fleet_malformed_messages_total"][1] == 2
    assert found["edgewise_fleet_unknown_records_total"][1] == 3
    assert found["edgewise_fleet_broker_connected"][1] == 1


def test_a_device_is_up_and_carries_its_model_as_a_label() -> None:
    found = samples()
    assert found["edgewise_device_up"][1] == 1
    assert found["edgewise_device_last_seen_timestamp_seconds"][1] == 5.0
    assert found["edgewise_device_info"][0]["model"] == 'net "odd" \\ name'
