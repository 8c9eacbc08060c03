"""What the agent takes: memory, idle processor time, start to first inference; one process of the real command.

`edgewise agent run` with EfficientNet-Lite0 in int8 (5.0 MB; MobileNetV2 in int8 is 3.6) looks at one photo a second
and reports to a real mosquitto. Memory is PSS, shared pages by their share, the median of samples after a warm-up. What
the agent takes without NumPy and the runtime is its PSS less that of a process that does nothing but import NumPy and
the runtime, load the same file and run it once a second, plus that of a Python that sleeps: Python itself, Pillow and
all else count as the agent's. That process gives memory back in the same way, which is in the agent's disfavour.

The warm-up is longer than the first drift test takes to come, after some 60 inputs: it uses parts of NumPy for good.

    .venv/bin/python benchmarks/agent.py                                  # 8 minutes
    .venv/bin/python benchmarks/agent.py --warm-up 300 --measure 600      # as the figures of docs/agent/running.md
"""

import argparse
import contextlib
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import models_and_data
from edgewise_agent.lean import ENVIRONMENT

EDGEWISE = Path(sys.executable).with_name("edgewise")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
SAMPLE_EVERY_S = 1.0
WAIT_S = 60.0

RUNTIME_ALONE = """
import sys, time
import numpy as np
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(sys.argv[1], num_threads=int(sys.argv[2]))
interpreter.allocate_tensors()
(wanted,) = interpreter.get_input_details()
began = time.monotonic()
gave_back = False
while True:
    interpreter.set_tensor(wanted["index"], np.zeros(wanted["shape"], wanted["dtype"]))
    interpreter.invoke()
    if not gave_back and time.monotonic() - began > 5:
        sys.path.insert(0, sys.argv[3])
        from edgewise_agent.memory import give_back
        gave_back = bool(give_back())
    time.sleep(1)
"""

SETTINGS = """\
[device]
id = "bench"
state_dir = "state"
[pipelines.main]
model = "{model}"
source = "{photos}"
interval_s = {interval_s}
events = "all"
[broker]
url = "mqtt://127.0.0.1:{port}"
[status]
port = {status_port}
"""


@dataclass(frozen=True)
class Footprint:
    """Of one process over a stretch."""

    pss_mb: float
    most_mb: float
    rss_mb: float
    """Counts shared pages in full: above what any other process on the machine can hide."""
    cpu_percent: float
    threads: int


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--warm-up", type=float, default=100.0, help="seconds before the first sample")
    parser.add_argument("--measure", type=float, default=30.0, help="seconds of samples")
    parser.add_argument("--starts", type=int, default=5, help="how often the start is timed")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model = convert(folder)
        with broker(folder) as port:
            figures = measure(folder, model, port, chosen)
    report(figures, chosen)
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=2))


def measure(folder: Path, model: Path, port: int, chosen: argparse.Namespace) -> dict[str, float]:
    photos = models_and_data.grocery_photos("validation")
    config = write_settings(folder, model, photos, port, interval_s=1.0)
    starts_s = [time_start(folder, config, port) for _ in range(chosen.starts)]
    with running(agent_words(config), folder) as pid:
        at_1_hz = footprint(pid, chosen)
    config = write_settings(folder, model, photos, port, interval_s=3600.0)
    with running(agent_words(config), folder) as pid:
        idle = footprint(pid, chosen)
    threads = min(os.cpu_count() or 1, 4)
    agent_root = Path(__file__).parents[1] / "device_agent"
    alone_words = [sys.executable, "-c", RUNTIME_ALONE, str(model), str(threads), str(agent_root)]
    with running(alone_words, folder) as pid:
        alone = footprint(pid, chosen)
    with running([sys.executable, "-c", "import time; time.sleep(1e6)"], folder) as pid:
        bare = footprint(pid, argparse.Namespace(warm_up=2, measure=5))
    return {
        "pss_mb": at_1_hz.pss_mb,
        "most_pss_mb": at_1_hz.most_mb,
        "rss_mb": at_1_hz.rss_mb,
        "runtime_alone_mb": alone.pss_mb,
        "bare_python_mb": bare.pss_mb,
        "agent_without_mb": at_1_hz.pss_mb - alone.pss_mb + bare.pss_mb,
        "cpu_percent_at_1_hz": at_1_hz.cpu_percent,
        "cpu_percent_idle": idle.cpu_percent,
        "threads": at_1_hz.threads,
        "start_s": median(starts_s),
        "slowest_start_s": max(starts_s),
    }


def report(figures: dict[str, float], chosen: argparse.Namespace) -> None:
    print(
        f"{platform.machine()}, Python {platform.python_version()}, {os.cpu_count()} cores; median over "
        f"{chosen.measure:g} s after {chosen.warm_up:g} s; {chosen.starts} starts\n"
    )
    print(
        f"PSS at 1 Hz                       {figures['pss_mb']:6.1f} MB (most {figures['most_pss_mb']:.1f})   bar 60"
    )
    print(f"RSS at 1 Hz                       {figures['rss_mb']:6.1f} MB")
    print(f"  NumPy, runtime and model alone  {figures['runtime_alone_mb']:6.1f} MB")
    print(f"  Python alone                    {figures['bare_python_mb']:6.1f} MB")
    print(f"  the agent without the former    {figures['agent_without_mb']:6.1f} MB               bar 25")
    print(f"CPU idle, of one core             {figures['cpu_percent_idle']:6.2f} %                bar 1")
    print(f"CPU at 1 Hz, of one core          {figures['cpu_percent_at_1_hz']:6.2f} %")
    print(
        f"start to first inference          {figures['start_s']:6.2f} s (most {figures['slowest_start_s']:.2f})   bar 2"
    )
    print(f"threads                           {figures['threads']:6.0f}")


def convert(folder: Path) -> Path:
    """EfficientNet-Lite0 to int8, as a user would."""
    out = folder / "lite0.tflite"
    words = [
        "convert", models_and_data.efficientnet_lite0_onnx(), "--target", "rpi4",
        "--samples", models_and_data.grocery_photos("calibration"),
        "--preprocess", "mean=127;std=128;resample=bicubic",
        "--labels", models_and_data.labels_txt(), "--out", out,
    ]  # fmt: skip
    subprocess.run([EDGEWISE, *words], check=True, stdout=subprocess.DEVNULL)
    return out


def write_settings(folder: Path, model: Path, photos: Path, port: int, *, interval_s: float) -> Path:
    path = folder / "agent.toml"
    text = SETTINGS.format(
        model=model, photos=photos, port=port, interval_s=interval_s, status_port=unused_port()
    )
    path.write_text(text)
    return path


def agent_words(config: Path) -> list[str]:
    return [str(EDGEWISE), "agent", "run", "--config", str(config)]


@contextlib.contextmanager
def running(words: list[str], folder: Path) -> Iterator[int]:
    environment = {**ENVIRONMENT, **os.environ}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its byte code on the disk
    with (folder / "process.log").open("ab") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, env=environment)
    try:
        yield process.pid
        if process.poll() is not None:
            raise SystemExit(f"it ended: {(folder / 'process.log').read_text()[-2000:]}")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(WAIT_S)


@contextlib.contextmanager
def broker(folder: Path) -> Iterator[int]:
    port = unused_port()
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nuser root\n")
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"}
    process = subprocess.Popen(["mosquitto", "-c", str(config)], stderr=subprocess.DEVNULL, env=environment)
    try:
        time.sleep(1.0)
        yield port
    finally:
        process.terminate()
        process.wait(WAIT_S)


def time_start(folder: Path, config: Path, port: int) -> float:
    """Seconds from starting the command to the time stamp of its first prediction."""
    found: list[float] = []

    def hear(client: object, data: object, message: mqtt.MQTTMessage) -> None:
        records = json.loads(message.payload)["records"]
        times_s = [one["ts_ms"] / 1000 for one in records if one.get("name") == "prediction"]
        found.extend(time_s for time_s in times_s if time_s >= began_s)

    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_connect = lambda one, *_: one.subscribe("edgewise/v1/+/+/event", qos=1)
    client.on_message = hear
    client.connect("127.0.0.1", port)
    client.loop_start()
    began_s = time.time()
    try:
        with running(agent_words(config), folder):
            deadline_s = time.monotonic() + WAIT_S
            while not found and time.monotonic() < deadline_s:
                time.sleep(0.05)
    finally:
        client.disconnect()
        client.loop_stop()
    return found[0] - began_s


def footprint(pid: int, chosen: argparse.Namespace) -> Footprint:
    time.sleep(chosen.warm_up)
    began_s, began_ticks = time.monotonic(), ticks_of(pid)
    samples, whole = [], []
    while time.monotonic() - began_s < chosen.measure:
        samples.append(rollup_mb(pid, "Pss"))
        whole.append(rollup_mb(pid, "Rss"))
        time.sleep(SAMPLE_EVERY_S)
    busy_s = (ticks_of(pid) - began_ticks) / TICKS_PER_S
    elapsed_s = time.monotonic() - began_s
    threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
    return Footprint(median(samples), max(samples), median(whole), 100 * busy_s / elapsed_s, threads)


def rollup_mb(pid: int, what: str) -> float:
    """In megabytes of 1024 * 1024 bytes."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    line = next(line for line in rollup.splitlines() if line.startswith(f"{what}:"))
    return int(line.split()[1]) / 1024


def ticks_of(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
