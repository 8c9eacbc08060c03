"""The REST API: what it answers, and that every answer is as its OpenAPI says (schemathesis)."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from fleet.real_parts import Server, wait_until
from fleet.simulated import SimulatedDevice, plausible

from edgewise_messages import Channel

SCHEMATHESIS = str(Path(sys.executable).with_name("schemathesis"))


def test_the_api_answers_and_holds_what_its_schema_promises(
    serve: Callable[..., Server],
    device: Callable[..., SimulatedDevice],
    fleet_command: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
) -> None:
    server = serve()
    for name in ("cam-a", "cam-b"):
        camera = device(name, port=server.mqtt_port)
        camera.introduce()
        camera.publish(camera.telemetry(plausible(3)))
        camera.publish(camera.event("input.failed", message="x.jpg"), channel=Channel.EVENT)
    server.wait_for_records(4)

    first = json.loads(server.get("/api/v1/devices?limit=1"))
    assert (first["total"], first["next"]) == (2, "lab/cam-a")
    second = json.loads(server.get("/api/v1/devices?limit=1&after=lab/cam-a"))
    assert [one["device"] for one in second["devices"]] == ["cam-b"]
    assert second["next"] is None
    detail = json.loads(server.get("/api/v1/devices/lab/cam-a"))
    assert detail["metrics"] == plausible(3)
    assert detail["models"][""]["name"] == "efficientnet-lite0"
    series = json.loads(server.get("/api/v1/devices/lab/cam-a/series?metric=board.temperature_c"))
    assert series["series"]["board.temperature_c"][0][1] == plausible(3)["board.temperature_c"]
    events = json.loads(server.get("/api/v1/devices/lab/cam-a/events"))
    assert [one["name"] for one in events["events"]] == ["input.failed"]
    (model,) = json.loads(server.get("/api/v1/models"))["models"]
    assert (model["devices"], model["online"]) == (["lab/cam-a", "lab/cam-b"], 2)
    assert (
        json.loads(server.get("/api/v1/devices/lab/nobody"))["detail"] == "device lab/nobody has not reported"
    )

    from_url = fleet_command("query", "board.temperature_c", "--url", server.url)
    assert from_url.stdout.splitlines()[0] == f"lab/cam-a\t{plausible(3)['board.temperature_c']:.10g}"
    assert fleet_command("query", "board.temperature_c").stdout == from_url.stdout
    course = fleet_command("query", "board.temperature_c", "--device", "cam-a", "--url", server.url)
    assert course.stdout == fleet_command("query", "board.temperature_c", "--device", "cam-a").stdout
    assert len(course.stdout.splitlines()) == 1
    assert "input.failed x.jpg" in fleet_command("device", "cam-a", "--url", server.url).stdout
    assert [line.split("\t")[0] for line in fleet_command("devices").stdout.splitlines()] == [
        "lab/cam-a",
        "lab/cam-b",
    ]
    assert "has not reported" in fleet_command("device", "nobody").stderr

    done = subprocess.run(
        [
            SCHEMATHESIS,
            "run",
            f"{server.url}/api/v1/openapi.json",
            "--max-examples=12",
            "--seed=1",
            "--phases=examples,coverage,fuzzing",
            "--request-timeout=20",
        ],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert wait_until(lambda: server.get("/healthz"), "it answers") == '{"status":"ok","trouble":[]}'
    assert "Traceback" not in server.log.read_text()
