"""The fleet's page with 10,000 devices in headless Chromium: first paint, filter, sort, live update.

    python benchmarks/fleet_page.py [--devices 10000] [--reports-per-s 100]

A real server on an empty store, filled with devices that each have every standard metric; then a real browser.
Prints the median and the worst of several runs, in milliseconds.
"""

import argparse
import json
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from edgewise_fleet.store import MetaArrival, RecordsArrival, SqliteStore, StatusArrival
from edgewise_messages import (
    Channel,
    DeviceAddress,
    DeviceState,
    Meta,
    ModelInfo,
    Status,
    Telemetry,
    encode_records,
)
from edgewise_messages.metrics import STANDARD

EDGEWISE = str(Path(sys.executable).with_name("edgewise"))
MODELS = ("efficientnet-lite0", "mobilenet-v2", "yolo-nano", "movenet")
RUNS = 7


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def fill(path: Path, devices: int) -> None:
    """A store with so many devices, each with all standard metrics."""
    store = SqliteStore(path)
    chance = random.Random(1)
    for start in range(0, devices, 500):
        batch: list[Any] = []
        for number in range(start, min(start + 500, devices)):
            address, now = DeviceAddress(f"site-{number % 40:02}", f"cam-{number:05}"), now_ms()
            model = ModelInfo(name=MODELS[number % 4], sha256=f"{number % 4}" * 64, precision="int8")
            metrics: dict[str, Any] = {metric.name: chance.random() * 50 for metric in STANDARD}
            metrics["board.throttled_now"] = 4 if number % 97 == 0 else 0
            boot = f"boot{number}"
            batch += [
                StatusArrival(address, now, Status(state=DeviceState.ONLINE, ts_ms=now, boot=boot)),
                MetaArrival(address, now, Meta(ts_ms=now, boot=boot, model=model, agent_version="0.1.0")),
                RecordsArrival(
                    address, now, (Telemetry(ts_ms=now, mono_ns=1, boot=boot, seq=1, metrics=metrics),)
                ),
            ]
        store.add(batch)
    store.close()


def report(port: int, devices: int, per_s: float, stopping: threading.Event) -> None:
    """Telemetry of random devices at this pace, as in a fleet that is alive."""
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", port)
    client.loop_start()
    chance, seq = random.Random(2), 10
    while not stopping.wait(1 / per_s):
        number, seq = chance.randrange(1, devices), seq + 1
        send(client, number, seq, {metric.name: chance.random() * 50 for metric in STANDARD})
    client.disconnect()
    client.loop_stop()


def send(client: paho.Client, number: int, seq: int, metrics: dict[str, Any]) -> None:
    """One record of one device."""
    address = DeviceAddress(f"site-{number % 40:02}", f"cam-{number:05}")
    record = Telemetry(ts_ms=now_ms(), mono_ns=seq, boot=f"boot{number}", seq=seq, metrics=metrics)
    client.publish(address.topic(Channel.TELEMETRY), encode_records([record]), qos=1).wait_for_publish(10)


def measure(url: str, mqtt_port: int) -> dict[str, list[float]]:
    """Every figure several times, in milliseconds."""
    from playwright.sync_api import sync_playwright

    found: dict[str, list[float]] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for _ in range(RUNS):
            page = browser.new_context().new_page()  # a new context has an empty cache
            begun = time.monotonic()
            page.goto(url, wait_until="commit")
            page.locator(".fleet-row").first.wait_for()
            add(found, "rows shown (cold cache)", begun)
            painted = page.evaluate(
                "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1"
            )
            found.setdefault("first contentful paint (cold cache)", []).append(painted)
            page.context.close()
        page = browser.new_context().new_page()
        page.goto(url)
        page.locator(".fleet-row").first.wait_for()
        measure_filters(page, found)
        measure_live(page, found, mqtt_port)
        browser.close()
    return found


def add(found: dict[str, list[float]], name: str, begun: float) -> None:
    found.setdefault(name, []).append((time.monotonic() - begun) * 1000)


# In the page, so that what Playwright needs to look is not counted: from the input to the second frame after it.
_TIMED = """async ([selector, value, kind]) => {
    const field = document.querySelector(selector);
    const begun = performance.now();
    if (kind === 'click') field.click();
    else { field.value = value; field.dispatchEvent(new Event(kind)); }
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    return performance.now() - begun;
}"""


def measure_filters(page: Any, found: dict[str, list[float]]) -> None:
    for run in range(RUNS):
        for name, arguments in (
            ("find", ["input[type=search]", f"cam-0{run}", "input"]),
            ("clear", ["input[type=search]", "", "input"]),
            ("filter by model", ["select[aria-label=Model]", MODELS[run % 4], "change"]),
            ("sort by p95", ["th.head-p95 button", "", "click"]),
        ):
            found.setdefault(name, []).append(page.evaluate(_TIMED, arguments))


def measure_live(page: Any, found: dict[str, list[float]], mqtt_port: int) -> None:
    """From publishing to the cell in the page."""
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", mqtt_port)
    client.loop_start()
    page.locator("select[aria-label=Model]").select_option("")
    page.locator("input[type=search]").fill("cam-00000")
    page.locator('[data-device="site-00/cam-00000"]').wait_for()
    for run in range(RUNS):
        time.sleep(1.3)
        value = 1000.5 + run
        begun = time.monotonic()
        send(client, 0, 10**6 + run, {"model.latency_p50_ms": value})
        page.wait_for_function(
            "text => document.querySelector('.fleet-row .cell-p50').innerText.includes(text)",
            arg=f"{value:,.1f}",
        )
        add(found, "live update", begun)
    client.disconnect()
    client.loop_stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--reports-per-s", type=float, default=100.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "fleet.db"
        begun = time.monotonic()
        fill(store, options.devices)
        print(f"filled {options.devices} devices in {time.monotonic() - begun:.1f} s", flush=True)
        command = [EDGEWISE, "fleet", "serve", "--port", "0", "--mqtt-port", "0", "--silent-after", "600"]
        server = subprocess.Popen([*command, "--store", str(store)], stdout=subprocess.PIPE, text=True)
        stopping = threading.Event()
        try:
            assert server.stdout
            said = server.stdout.readline() + server.stdout.readline()
            url, port = re.findall(r"(http://\S+)\n.*:(\d+)\n", said)[0]
            arguments = (int(port), options.devices, options.reports_per_s, stopping)
            reporter = threading.Thread(target=report, args=arguments)
            reporter.start()
            time.sleep(3)
            found = measure(url, int(port))
        finally:
            stopping.set()
            server.terminate()
            server.wait(30)
    figures = {name: {"median": statistics.median(ms), "worst": max(ms)} for name, ms in found.items()}
    for name, one in figures.items():
        print(f"{name:40} median {one['median']:7.0f} ms   worst {one['worst']:7.0f} ms")
    print(json.dumps({name: {kind: round(ms) for kind, ms in one.items()} for name, one in figures.items()}))


if __name__ == "__main__":
    main()
