"""`edgewise diagnose`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edgewise_converters.diagnosis import Diagnosis, LayerDiagnosis

_AGAINST = "A .tflite file made from the model, to be looked at as it is; nothing is quantized then."
_PRECISION = "int8 or int16x8."
_TOP = "Layers shown, the noisiest first."


def diagnose_app(
    model: Annotated[Path, typer.Argument(help="The trained model. It is only read.")],
    samples: Annotated[Path, typer.Option(help="Typical inputs, as for convert.")],
    target: Annotated[str, typer.Option(help="The device, as for convert.")] = "arm64",
    precision: Annotated[str, typer.Option(help=_PRECISION)] = "int8",
    against: Annotated[Path | None, typer.Option(help=_AGAINST)] = None,
    preprocess: Annotated[str | None, typer.Option(help="As for convert.")] = None,
    shape: Annotated[list[str] | None, typer.Option(help="As for convert. Repeatable.")] = None,
    value: Annotated[list[str] | None, typer.Option(help="As for convert. Repeatable.")] = None,
    calibration: Annotated[str, typer.Option(help="As for convert.")] = "auto",
    top: Annotated[int, typer.Option(min=1, help=_TOP)] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Find which layers lose most when a model is quantized, why, and what helps. Nothing is written."""
    from edgewise_converters import process

    process.set_up()
    from edgewise_converters.commands.options import one_of, parse_shape, parse_value
    from edgewise_converters.diagnosis import diagnose, diagnose_pair
    from edgewise_converters.drawing import Drawn
    from edgewise_converters.precisions import CALIBRATIONS
    from edgewise_converters.request import Request

    request = Request(
        source=model,
        target=target,
        precision="fp32" if against else one_of("--precision", precision, ("int8", "int16x8")),
        samples=samples,
        preprocess=preprocess,
        shapes=dict(parse_shape(text) for text in shape or ()),
        values=dict(parse_value(text) for text in value or ()),
        calibration=one_of("--calibration", calibration, CALIBRATIONS),
    )
    with Drawn() as progress:
        found = diagnose_pair(request, against, progress) if against else diagnose(request, progress)
    print(json.dumps(asdict(found), indent=2) if as_json else "\n".join(_lines(found, top)))  # noqa: T201 - the command's output


def _lines(found: "Diagnosis", top: int) -> list[str]:
    """The same for people."""
    lines = [f"{found.outputs_db:.1f} dB at the outputs, {found.precision}; on {found.measured_on}"]
    lines += found.notes
    if found.unmatched:
        lines.append(f"{found.unmatched} operators have no counterpart in the original that could be told")
    lines.append("")
    for place, layer in enumerate(found.layers[:top], 1):
        lines += _layer_lines(place, layer)
    left = len(found.layers) - top
    if left > 0:
        lines.append(f"and {left} quieter layers (--top {len(found.layers)} shows all)")
    if found.applied:
        lines += ["", "What edgewise convert does about it, one upon the other:"]
        lines += [f"  {fix.before_db:5.1f} -> {fix.after_db:5.1f} dB  {fix.what}" for fix in found.applied]
    return lines


def _layer_lines(place: int, layer: "LayerDiagnosis") -> list[str]:
    levels = [f"{layer.snr_db:.1f} dB here"]
    if layer.alone_db is not None and layer.share is not None:
        levels.insert(0, f"alone {layer.alone_db:.1f} dB at the outputs, {layer.share:.0%} of all noise")
    lines = [f"{place:3}. {layer.name} ({layer.kind}, {layer.precision}): {', '.join(levels)}"]
    lines += [f"     {cause.name}: {cause.facts}" for cause in layer.causes]
    if layer.fix is not None:
        fix = layer.fix
        lines.append(f"     helps: {fix.what}, {fix.before_db:.1f} -> {fix.after_db:.1f} dB at the outputs")
    return lines
