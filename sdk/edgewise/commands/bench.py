"""`edgewise bench`: what a model file costs on this machine."""

import json
from pathlib import Path
from typing import Annotated

import typer

from edgewise.commands.options import Arrays, AsJson, DelegateName, DelegateOptions, Shapes


def bench_app(
    files: Annotated[
        list[Path], typer.Argument(help="One or several .tflite or .onnx models.", show_default=False)
    ],
    image: Annotated[
        Path | None,
        typer.Option(help="Predict this picture: pre-processing, inference and answer.", show_default=False),
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Measured calls of each file, at most.")] = 100,
    warmup: Annotated[int, typer.Option(min=0, help="Calls before them that are not counted.")] = 5,
    seconds: Annotated[
        float, typer.Option(min=0.001, help="Of measured calls of each file, at most.")
    ] = 10.0,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Default: the cores, at most 4.", show_default=False)
    ] = None,
    backend: Annotated[
        str | None, typer.Option(help="litert, tflite-runtime or onnxruntime.", show_default=False)
    ] = None,
    shape: Shapes = None,
    arrays: Arrays = None,
    delegate: DelegateName = None,
    delegate_option: DelegateOptions = None,
    promise: Annotated[
        bool, typer.Option("--promise", help="Write the latency into the file: its devices are held to it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure latency, memory and energy of model files, side by side."""
    from edgewise.benchmark import Plan, benchmark_files
    from edgewise.benchmark_text import MAX_FILES, page
    from edgewise.commands.progress import ProgressLine
    from edgewise.delegate import parse_delegate
    from edgewise.errors import InvalidInput
    from edgewise.sample_inputs import parse_shapes

    if promise and image is None:
        raise InvalidInput(
            "promise: expected --image PICTURE: what is promised is the time from a picture to its answer"
        )
    if len(files) > MAX_FILES:
        raise InvalidInput(f"bench: got {len(files)} files, expected at most {MAX_FILES}")
    plan = Plan(
        runs=runs,
        warmup=warmup,
        seconds=seconds,
        threads=threads,
        backend=backend,
        image=image,
        shapes=parse_shapes(shape or []),
        arrays=arrays,
        delegate=parse_delegate(delegate, delegate_option or []),
    )
    with ProgressLine() as progress:
        benchmark = benchmark_files(files, plan, progress=progress)
    if promise:
        from edgewise.latency_promise import write_promises

        for written in write_promises(benchmark):
            typer.echo(
                f"promised on {written.board}: p50 {written.p50_ms:g} ms, p95 {written.p95_ms:g} ms", err=True
            )
    if as_json:
        typer.echo(json.dumps(benchmark.to_dict(), indent=2, ensure_ascii=False))
    else:
        typer.echo(page(benchmark))
