#!/usr/bin/env python3
"""What a conversion holds in memory above what the imports take, in units of the model's size.

Each conversion, verification included, runs in a process of its own.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

KILOBYTE = 1024
"""proc_pid_status(5): VmHWM is told in them."""


def convert(model: str, precision: str, samples: str, out: str) -> None:
    """In the child: import everything a conversion uses, convert, and print both peaks of memory in bytes."""
    from edgewise_converters import process

    process.set_up()
    import ai_edge_litert.interpreter
    import onnxruntime

    import edgewise
    from edgewise_converters.pipeline import convert
    from edgewise_converters.request import Request

    used = (ai_edge_litert.interpreter, onnxruntime, edgewise)
    assert all(used)
    before = peak_bytes()
    request = Request(source=Path(model), target="rpi4", precision=precision, out=Path(out))
    if samples:
        request = replace(request, samples=Path(samples), preprocess="imagenet")
    convert(request)
    print(json.dumps({"imports": before, "peak": peak_bytes()}))


def peak_bytes() -> int:
    """The most this process has had in memory so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * KILOBYTE


def main() -> int:
    """Convert each model; 1 when a conversion fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", metavar="MODEL.onnx")
    parser.add_argument("--precision", default="fp32", help="default: fp32")
    parser.add_argument("--samples", default="", metavar="DIR", help="photos, taken as ImageNet's")
    arguments = parser.parse_args()
    for model in arguments.models:
        with tempfile.TemporaryDirectory(prefix="edgewise-memory-") as work:
            asked = [model, arguments.precision, arguments.samples, f"{work}/net.tflite"]
            command = [sys.executable, __file__, "--child", *asked]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            print(f"{model}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}", file=sys.stderr)
            return 1
        figures = json.loads(done.stdout.splitlines()[-1])
        above, size = figures["peak"] - figures["imports"], Path(model).stat().st_size
        print(
            f"{Path(model).name}, {arguments.precision}: {size / 1e6:.1f} MB, "
            f"imports {figures['imports'] / 1e6:.0f} MB, above them {above / 1e6:.0f} MB, "
            f"{above / size:.2f} x the model"
        )
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        convert(*sys.argv[2:])
    else:
        sys.exit(main())
