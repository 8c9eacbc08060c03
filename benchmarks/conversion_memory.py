#!/usr/bin/env python3
"""What a conversion to float32 holds in memory above what the imports take, in units of the model's size.

Usage: conversion_memory.py MODEL.onnx [...]. Each conversion, verification included, runs in a process of its own.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

KILOBYTE = 1024
"""proc_pid_status(5): VmHWM is told in them."""


def convert(model: str, out: str) -> None:
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
    convert(Request(source=Path(model), target="rpi4", precision="fp32", out=Path(out)))
    print(json.dumps({"imports": before, "peak": peak_bytes()}))


def peak_bytes() -> int:
    """The most this process has had in memory so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * KILOBYTE


def main() -> int:
    """Convert each model; 1 when a conversion fails."""
    models = sys.argv[1:]
    if not models or models[0].startswith("-"):
        print(__doc__)
        return 2
    for model in models:
        with tempfile.TemporaryDirectory(prefix="edgewise-memory-") as work:
            command = [sys.executable, __file__, "--child", model, f"{work}/net.tflite"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            print(f"{model}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}", file=sys.stderr)
            return 1
        figures = json.loads(done.stdout.splitlines()[-1])
        above, size = figures["peak"] - figures["imports"], Path(model).stat().st_size
        print(
            f"{Path(model).name}: {size / 1e6:.1f} MB, imports {figures['imports'] / 1e6:.0f} MB, "
            f"above them {above / 1e6:.0f} MB, {above / size:.2f} x the model"
        )
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        convert(*sys.argv[2:])
    else:
        sys.exit(main())
