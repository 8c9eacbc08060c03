"""`edgewise profile`: which operator costs how much."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from edgewise.commands.options import Arrays, AsJson, DelegateName, DelegateOptions, Shapes


def profile_app(
    file: Annotated[Path, typer.Argument(help="A .tflite or .onnx model.", show_default=False)],
    top: Annotated[int, typer.Option(min=1, help="How many operators to show one by one.")] = 20,
    runs: Annotated[int, typer.Option(min=1, help="Measured calls, at most.")] = 50,
    warmup: Annotated[int, typer.Option(min=0, help="Calls before them that are not counted.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.001, help="Of measured calls, at most.")] = 10.0,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Default: the cores, at most 4.", show_default=False)
    ] = None,
    backend: Annotated[str | None, typer.Option(help="litert or onnxruntime.", show_default=False)] = None,
    shape: Shapes = None,
    arrays: Arrays = None,
    delegate: DelegateName = None,
    delegate_option: DelegateOptions = None,
    as_json: AsJson = False,
) -> None:
    """Show which operators of a model take how long, and which of them XNNPACK runs."""
    from edgewise.commands.progress import ProgressLine
    from edgewise.delegate import parse_delegate
    from edgewise.delegate_profile import DelegateProfile
    from edgewise.profile import ProfilePlan, profile_model
    from edgewise.profile_text import page
    from edgewise.sample_inputs import parse_shapes

    plan = ProfilePlan(
        runs=runs,
        warmup=warmup,
        seconds=seconds,
        threads=threads,
        backend=backend,
        shapes=parse_shapes(shape or []),
        arrays=arrays,
        delegate=parse_delegate(delegate, delegate_option or []),
    )
    with ProgressLine() as progress:
        progress(f"profiling {file.name}", 0.0)
        profile = profile_model(file, plan)
    if as_json:
        typer.echo(json.dumps(profile.to_dict(), indent=2, ensure_ascii=False))
    elif isinstance(profile, DelegateProfile):
        typer.echo(profile.page(top=top))
    else:
        is_unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        typer.echo(page(profile, top=top, bar="█" if is_unicode else "#"))
