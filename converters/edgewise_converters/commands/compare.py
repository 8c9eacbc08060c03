"""`edgewise compare`."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edgewise_converters.comparison import Comparison

_FIRST = "The model that is right: .onnx, .tflite or .pt2."
_SECOND = "The model to hold against it, of any of these formats."
_SAMPLES = "Typical inputs: a folder of images, an .npy or an .npz file; without it random inputs."
_PREPROCESS = "As for convert; without it what either file says of itself."
_SHAPE = "NAME=1,3,224,224 for an input of the first model whose shape is open in both. Repeatable."
_MIN_DB = "Exit with code 1 when an output agrees less than this, in dB."


def compare_app(
    first: Annotated[Path, typer.Argument(help=_FIRST, show_default=False)],
    second: Annotated[Path, typer.Argument(help=_SECOND, show_default=False)],
    samples: Annotated[Path | None, typer.Option(help=_SAMPLES)] = None,
    preprocess: Annotated[str | None, typer.Option(help=_PREPROCESS)] = None,
    shape: Annotated[list[str] | None, typer.Option(help=_SHAPE)] = None,
    min_db: Annotated[float | None, typer.Option("--min-db", help=_MIN_DB)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Ask two model files the same, and tell how well the second agrees with the first."""
    from edgewise_converters import process

    process.set_up()
    from edgewise_converters.commands.options import parse_shape
    from edgewise_converters.comparison import compare
    from edgewise_converters.drawing import Drawn
    from edgewise_converters.errors import VerificationFailed

    shapes = dict(parse_shape(text) for text in shape or ())
    with Drawn() as progress:
        found = compare(
            first, second, samples=samples, preprocess=preprocess, shapes=shapes, progress=progress
        )
    print(json.dumps(_as_dict(found), indent=2) if as_json else "\n".join(_rows(found)))  # noqa: T201 - the command's output
    worst = found.agreement.worst
    if min_db is not None and worst.snr_db < min_db:
        raise VerificationFailed(
            f"output '{worst.name}' agrees to {worst.snr_db:.1f} dB, --min-db asks for {min_db:g}"
        )


def _rows(found: "Comparison") -> list[str]:
    """A table for people."""
    rows = [
        (title, f"{file.path} ({file.format}, {file.size_bytes / 1e6:.2f} MB)")
        for title, file in (("first", found.first), ("second", found.second))
    ]
    rows.append(
        (
            "size",
            f"the second has {found.second.size_bytes / max(found.first.size_bytes, 1):.2f} x the first's",
        )
    )
    rows += [("input", f"{name}: {axes} for the second") for name, axes in found.inputs.items() if axes]
    for output in found.outputs:
        measured = output.agreement
        text = f"{measured.name}: {measured.snr_db:.1f} dB, cosine {measured.cosine:.6f}"
        if math.isinf(measured.max_error):
            text += ", another number of results in some answers"
        else:
            text += f", largest error {measured.max_error:.4g}"
        text += f" ('{output.second_name}' of the second)" if output.second_name != measured.name else ""
        rows.append(("output", f"{text}; {output.axes}" if output.axes else text))
    top1 = found.agreement.top1_interval
    if top1 is not None:
        rows.append(
            (
                "first answer",
                f"the same in {top1.percent} of {found.agreement.distinct} samples, 95 % interval",
            )
        )
    rows.append(("measured on", f"{found.measured_on}, {found.agreement.cases} inputs"))
    if found.skipped_samples:
        rows.append(("skipped", f"{found.skipped_samples} samples that could not be read"))
    return [f"{title:<13}{text}" for title, text in rows]


def _as_dict(found: "Comparison") -> dict[str, object]:
    top1 = found.agreement.top1_interval
    return {
        "first": {**vars(found.first), "path": str(found.first.path)},
        "second": {**vars(found.second), "path": str(found.second.path)},
        "inputs": found.inputs,
        "outputs": [
            {**_finite(vars(output.agreement)), "second_name": output.second_name, "axes": output.axes}
            for output in found.outputs
        ],
        "worst_db": found.agreement.worst_db,
        "top1": vars(top1) if top1 is not None else None,
        "cases": found.agreement.cases,
        "measured_on": found.measured_on,
        "skipped_samples": found.skipped_samples,
        "notices": list(found.notices),
    }


def _finite(values: dict[str, object]) -> dict[str, object]:
    """JSON has no infinity: None for the largest error of answers that cannot be held against each other."""
    return {n: None if isinstance(v, float) and math.isinf(v) else v for n, v in values.items()}
