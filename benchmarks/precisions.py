#!/usr/bin/env python3
"""Size, latency and quality of one network at every precision, as ratios to its float32 file in the same run.

Usage: precisions.py MODEL.onnx [--target rpi4] [--samples FOLDER] [--preprocess TEXT] [--only NAME ...]
       precisions.py --layers [litert | tflite-runtime]

The files are asked in turns, one thread each, and the least processor time of each counts: waiting for a busy computer
does not, and what else a busy one does hits all files alike.
--layers does the same with single layers, by the way their weights are stored. These are times of this computer's
processor: they say nothing about ARM.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from stored_layers import LAYERS, WAYS, layer_network

from edgewise.backends import Backend, open_backend
from edgewise.tensors import Array
from edgewise_converters.errors import ConversionError
from edgewise_converters.pipeline import convert
from edgewise_converters.precisions import PRECISIONS
from edgewise_converters.request import Request
from edgewise_converters.static_precisions import STATIC

ROUNDS, ASKED_FOR_S = 40, 0.04
"""Turns, and how long each file is asked in one."""


def latencies_s(backends: Mapping[str, Backend]) -> dict[str, float]:
    """The processor time of the cheapest inference of each, asked in turns."""
    inputs = {name: _random_inputs(backend) for name, backend in backends.items()}
    cheapest = dict.fromkeys(backends, float("inf"))
    for _ in range(ROUNDS):
        for name, backend in backends.items():
            until = time.perf_counter() + ASKED_FOR_S
            while True:
                start = time.thread_time()
                backend.run(inputs[name])
                cheapest[name] = min(cheapest[name], time.thread_time() - start)
                if time.perf_counter() > until:
                    break
    return cheapest


def _random_inputs(backend: Backend) -> list[Array]:
    rng = np.random.default_rng(0)
    arrays = []
    for spec in backend.inputs():
        integers = spec.dtype != "float32"
        values = rng.integers(0, 2, spec.shape) if integers else rng.standard_normal(spec.shape)
        arrays.append(values.astype(spec.dtype))
    return arrays


def networks(arguments: argparse.Namespace, folder: Path) -> None:
    """The table of one model."""
    wanted = arguments.only or [p for p in PRECISIONS if p not in ("auto", "source")]
    backends, rows = {}, {}
    for precision in ("fp32", *(p for p in wanted if p != "fp32")):
        if precision in STATIC and not arguments.samples:
            continue
        request = Request(
            source=arguments.model,
            target=arguments.target,
            precision=precision,
            samples=arguments.samples,
            preprocess=arguments.preprocess,
            out=folder / f"{precision}.tflite",
        )
        try:
            result = convert(request)
        except ConversionError as error:
            print(f"{precision}: {error}", file=sys.stderr)
            continue
        runtime, agreement = next(iter(result.agreement.items()))
        backends[precision] = open_backend(result.path, "tflite", name=runtime, threads=1)
        rows[precision] = (result.size_bytes, agreement.worst_db)
    cheapest = latencies_s(backends)
    print("| | size | latency | worst output |\n|---|---|---|---|")
    for precision, (size, decibel) in rows.items():
        ratio = cheapest[precision] / cheapest["fp32"]
        print(f"| `{precision}` | {size / rows['fp32'][0]:.2f} | {ratio:.2f} | {decibel:.1f} dB |")


def layers(runtime: str) -> None:
    """The table of single layers."""
    print(f"| {runtime} | " + " | ".join(WAYS) + " |\n|---|" + "---|" * len(WAYS))
    for name in LAYERS:
        backends = {}
        for way in WAYS:
            network = layer_network(name, way, runtime)
            if network is not None:
                backends[way] = open_backend(network, "tflite", name=runtime, threads=1)
        cheapest = latencies_s(backends)
        cells = (f"{cheapest[way] / cheapest['float32']:.2f}" if way in cheapest else "-" for way in WAYS)
        print(f"| {name} | " + " | ".join(cells) + " |")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--target", default="rpi4")
    parser.add_argument("--samples", type=Path)
    parser.add_argument("--preprocess")
    parser.add_argument("--only", nargs="+", choices=PRECISIONS)
    parser.add_argument("--layers", choices=("litert", "tflite-runtime"))
    arguments = parser.parse_args()
    if arguments.layers:
        layers(arguments.layers)
    elif arguments.model:
        with tempfile.TemporaryDirectory() as folder:
            networks(arguments, Path(folder))
    else:
        parser.error("a model, or --layers")


if __name__ == "__main__":
    main()
