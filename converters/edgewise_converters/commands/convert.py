"""`edgewise convert`."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgewise_converters.commands.options import (
    one_of,
    parse_feedback,
    parse_layout,
    parse_shape,
    parse_share,
    parse_value,
)

if TYPE_CHECKING:
    from edgewise_converters.request import Result

_TARGET = "The device: rpi3, rpi4, rpi5, rpi-zero2w, arm64 or armv7."
_PRECISION = (
    "auto, fp32, fp16, weights8, dynamic, int8, mixed, mixed16, int16x8, int4 or source; auto takes what suits the "
    "target and steps down by measured quality, and leaves a quantized model as it is (source)."
)
_SAMPLES = "Typical inputs: a folder of images, an .npy or an .npz file."
_PREPROCESS = (
    "imagenet, unit, signed, raw, or mean=..;std=.. in pixels of 0 to 255; "
    "then, if needed, ;resize= ;crop= ;resample= ;colour="
)
_SHAPE = "NAME=1,3,224,224 for an input of open shape, or DIMENSION=128 for an open dimension; repeatable."
_LAYOUT = "nchw or nhwc, or NAME=nchw: how the app feeds an input of four axes; else as suits the network. Repeatable."
_VALUE = "NAME=16000 for an input that is always the same (a sample rate); it leaves the model. Repeatable."
_FORMAT = "tflite, or onnx for onnxruntime on 64-bit ARM."
_OUT = "Where to write; MODEL-TARGET.tflite (or .onnx) in this folder if not given."
_CALIBRATION = (
    "How int8 ranges are chosen: auto (the best by measurement), minmax, percentile, mse or entropy."
)
_MAX_DROP = (
    "Such as 1%: refuse, or step down, where more first answers may be lost (one-sided 95 % bound, of accuracy "
    "where samples lie in folders named after --labels)."
)
_RESCUE = (
    "Whether int8 leaves a few layers that lose most in float32; without, every board gives the same bits."
)
_WEIGHTS = "per-channel or per-tensor: the scales of int8 weights."
_SMALLEST = "With int4: 4 bits in all convolutions too, which makes them slower than float32."
_IO = "float, int8 or uint8: what real inputs and outputs are; without, pictures go in as int8 and floats come out."
_ACTIVATIONS = "asymmetric or symmetric: whether int8 activations have a zero point."
_REPORT = "Write an HTML page about the conversion: agreement, layers, ranges, examples, decisions."
_ENGINE = (
    "auto (our own lowering; where it refuses, the second converter if installed), edgewise or onnx2tf; "
    "see edgewise engines."
)
_TASK = (
    "image-classification, object-detection, image-segmentation, image-embedding, pose-estimation, "
    "audio-classification, time-series-classification, anomaly-detection, text-embedding or tensors, where neither the "
    "model's shape nor --describe tells."
)
_DESCRIBE = (
    "A TOML or JSON file with what only the model's maker knows: [audio], [series], [text], [anomaly], [detection], "
    "[pose], as the fields of the card's parts; see docs/converter.md."
)
_FEEDBACK = (
    "OUTPUT=INPUT for a recurrent model's state, repeatable; or auto, where names or shapes tell. "
    "The app's stream then carries it."
)
_HEAD = (
    "How a detector's outputs are read (yolov8, yolov5, ssd, nms, yunet or blazeface), or a pose network's (movenet, "
    "movenet-multipose, heatmap, simcc, or yolov8 with --task pose-estimation); the app need not say it then."
)


def convert_app(
    model: Annotated[
        Path, typer.Argument(help="The trained model: .onnx, a float .tflite, or .pt2. It is only read.")
    ],
    target: Annotated[str, typer.Option(help=_TARGET)],
    output_format: Annotated[str, typer.Option("--format", help=_FORMAT)] = "tflite",
    precision: Annotated[str, typer.Option(help=_PRECISION)] = "auto",
    samples: Annotated[Path | None, typer.Option(help=_SAMPLES)] = None,
    preprocess: Annotated[str | None, typer.Option(help=_PREPROCESS)] = None,
    shape: Annotated[list[str] | None, typer.Option(help=_SHAPE)] = None,
    layout: Annotated[list[str] | None, typer.Option(help=_LAYOUT)] = None,
    value: Annotated[list[str] | None, typer.Option(help=_VALUE)] = None,
    labels: Annotated[Path | None, typer.Option(help="A text file with one label a line.")] = None,
    out: Annotated[Path | None, typer.Option(help=_OUT)] = None,
    calibration: Annotated[str, typer.Option(help=_CALIBRATION)] = "auto",
    rescue: Annotated[bool, typer.Option(help=_RESCUE)] = True,
    weights: Annotated[str, typer.Option(help=_WEIGHTS)] = "per-channel",
    smallest: Annotated[bool, typer.Option("--smallest", help=_SMALLEST)] = False,
    io: Annotated[str | None, typer.Option(help=_IO)] = None,
    activations: Annotated[str, typer.Option(help=_ACTIVATIONS)] = "asymmetric",
    task: Annotated[str | None, typer.Option(help=_TASK)] = None,
    head: Annotated[str | None, typer.Option(help=_HEAD)] = None,
    describe: Annotated[Path | None, typer.Option(help=_DESCRIBE)] = None,
    feedback: Annotated[list[str] | None, typer.Option(help=_FEEDBACK)] = None,
    engine: Annotated[str, typer.Option(help=_ENGINE)] = "auto",
    max_drop: Annotated[str | None, typer.Option(help=_MAX_DROP)] = None,
    licence: Annotated[str, typer.Option(help="The model's licence, for its card.")] = "",
    report: Annotated[Path | None, typer.Option(help=_REPORT)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Convert a trained model for a device, and prove that it still gives the same answers."""
    from edgewise_converters import process

    process.set_up()
    from edgewise.detection_card import HEADS
    from edgewise.model_card import TASKS
    from edgewise.pose_card import POSE_HEADS
    from edgewise_converters.drawing import Drawn, table
    from edgewise_converters.pipeline import convert
    from edgewise_converters.precisions import CALIBRATIONS, PRECISIONS
    from edgewise_converters.quantize.integer_ends import ENDS
    from edgewise_converters.request import Request

    request = Request(
        source=model,
        target=target,
        format=one_of("--format", output_format, ("tflite", "onnx")),
        precision=one_of("--precision", precision, PRECISIONS),
        samples=samples,
        preprocess=preprocess,
        shapes=dict(parse_shape(text) for text in shape or ()),
        layouts=dict(parse_layout(text) for text in layout or ()),
        values=dict(parse_value(text) for text in value or ()),
        labels=labels,
        out=out,
        calibration=one_of("--calibration", calibration, CALIBRATIONS),
        rescue=rescue,
        weights=one_of("--weights", weights, ("per-channel", "per-tensor")),
        smallest=smallest,
        ends=one_of("--io", io, ENDS) if io else "",
        activations=one_of("--activations", activations, ("asymmetric", "symmetric")),
        engine=one_of("--engine", engine, ("auto", "edgewise", "onnx2tf")),
        task=task and one_of("--task", task, TASKS),
        head=head and one_of("--head", head, tuple(dict.fromkeys((*HEADS, *POSE_HEADS)))),
        describe=describe,
        feedback=parse_feedback(feedback or ()),
        max_drop=parse_share("--max-drop", max_drop) if max_drop else None,
        licence=licence,
        report=report,
        command=_command(),
    )
    with Drawn() as progress:
        result = convert(request, progress)
    if as_json:
        print(json.dumps(_as_dict(result), indent=2))  # noqa: T201 - the command's output
    else:
        table(result)


def _command() -> str:
    """The command line without the folders of this machine."""
    words = ["edgewise", *sys.argv[1:]]
    return " ".join(Path(word).name if "/" in word and "=" not in word else word for word in words)


def _as_dict(result: "Result") -> dict[str, object]:
    return {
        "path": str(result.path),
        "size_bytes": result.size_bytes,
        "source_bytes": result.source_bytes,
        "target": result.target,
        "precision": result.precision,
        "task": result.card.task,
        "measured_on": result.measured_on,
        "skipped_samples": result.skipped_samples,
        "notices": list(result.notices),
        "agreement": {
            runtime: {
                "cases": agreement.cases,
                "distinct_cases": agreement.distinct,
                "top1": agreement.top1,
                "top1_interval": asdict(top1) if (top1 := agreement.top1_interval) else None,
                "outputs": [vars(output) for output in agreement.outputs],
            }
            for runtime, agreement in result.agreement.items()
        },
        "accuracy": asdict(result.accuracy) if result.accuracy else None,
        "float32_noise_floor_db": {o.name: o.snr_db for o in result.floor.outputs} if result.floor else None,
    }
