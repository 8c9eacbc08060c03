"""examples/monitoring: what they name is exposed; judged by promtool and Prometheus where installed."""

import json
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from fleet.real_parts import Server, unused_port, wait_until
from fleet.simulated import SimulatedDevice, plausible
from fleet.test_exposition import FLEET
from prometheus_client.parser import text_string_to_metric_families

from edgewise_fleet.exposition import expose

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "monitoring"
RULES, DASHBOARD = FOLDER / "edgewise-alerts.yml", FOLDER / "grafana-dashboard.json"
NAME = re.compile(r"\bedgewise_[a-z0-9_]+")


def expressions() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def test_every_metric_that_the_examples_name_is_exposed() -> None:
    families = text_string_to_metric_families(expose(lambda: FLEET).decode())
    exposed = {sample.name for family in families for sample in family.samples}
    named = set(NAME.findall("\n".join(expressions()) + RULES.read_text()))
    assert len(named) > 10
    assert named <= exposed


def test_the_dashboard_has_unique_panels_that_do_not_overlap() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for at in [panel["gridPos"]]
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(cells) == len(set(cells))


@pytest.mark.long
@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (apt install prometheus)"
)
def test_promtool_accepts_the_rules_and_they_fire_when_they_should() -> None:
    for command in (
        ["check", "rules", RULES.name],
        ["check", "config", "prometheus.yml"],
        ["test", "rules", "edgewise-alerts-test.yml"],
    ):
        done = subprocess.run(["promtool", *command], cwd=FOLDER, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
@pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed")
def test_a_real_prometheus_scrapes_a_real_server_and_answers_every_panel(
    serve: Callable[..., Server], device: Callable[..., SimulatedDevice], tmp_path: Path
) -> None:
    server = serve()
    camera = device("cam", port=server.mqtt_port)
    camera.introduce()
    camera.publish(camera.telemetry(plausible(1)))
    server.wait_for_records(1)
    text = (
        (FOLDER / "prometheus.yml").read_text().replace("127.0.0.1:8080", server.url.removeprefix("http://"))
    )
    (tmp_path / "prometheus.yml").write_text(text.replace("15s", "1s"))
    shutil.copy(RULES, tmp_path)
    url = f"http://127.0.0.1:{unused_port()}"
    arguments = [
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=data",
        f"--web.listen-address={url[7:]}",
    ]
    log = (tmp_path / "log").open("w")
    process = subprocess.Popen(["prometheus", *arguments], cwd=tmp_path, stderr=log)

    def query(expression: str) -> list[dict[str, object]]:
        try:
            asked = urllib.parse.urlencode({"query": expression})
            with urllib.request.urlopen(f"{url}/api/v1/query?{asked}", timeout=10) as answer:
                return list(json.loads(answer.read())["data"]["result"])
        except OSError:
            return []

    try:
        wait_until(lambda: query("edgewise_device_up == 1"), "Prometheus has scraped the server")
        for expression in expressions():
            with_names = re.sub(r"\$(group|device)", ".*", expression)
            asked = urllib.parse.urlencode({"query": with_names})
            with urllib.request.urlopen(f"{url}/api/v1/query?{asked}", timeout=10) as answer:
                assert json.loads(answer.read())["status"] == "success", expression
        assert query("edgewise_board_temperature_c")[0]["value"][1] == str(
            plausible(1)["board.temperature_c"]
        )  # type: ignore[index]
    finally:
        process.terminate()
        process.wait(30)
        log.close()
