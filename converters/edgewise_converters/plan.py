"""What a conversion will work with: the pictures its inputs take, its task, its samples, its first precision."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgewise.detection_card import HEADS
from edgewise.errors import CardError
from edgewise.model_card import OBJECT_DETECTION, POSE_ESTIMATION, ImagePreprocess
from edgewise.pose_card import POSE_HEADS
from edgewise.tasks.base import task_of_head
from edgewise.tasks.text.decoding import alphabet_of
from edgewise_converters import cards
from edgewise_converters.as_source import AS_SOURCE, check_stated
from edgewise_converters.errors import ConversionError, InvalidSamples
from edgewise_converters.lower import LoweredGraph
from edgewise_converters.preprocessing import PreprocessRequest, parse_preprocess
from edgewise_converters.readers import Source
from edgewise_converters.request import Request
from edgewise_converters.samples import InputSpec, Samples, holds_images, image_layout, load_samples, noise
from edgewise_converters.static_precisions import STATIC, check_ends
from edgewise_converters.stored_precisions import check_target
from edgewise_converters.survey import check_truths
from edgewise_converters.targets import Target
from edgewise_converters.tflite.graph import Tensor
from edgewise_converters.token_inputs import table_sizes
from edgewise_converters.verify import Layouts


@dataclass(frozen=True)
class Plan:
    """Everything that is known before the first number is rounded; no weights."""

    source: Source
    layouts: Layouts
    images: dict[str, ImagePreprocess]
    """By name of input: how pictures become it."""
    image_layouts: dict[str, str]
    """By name of input: nchw or nhwc, as the original takes its pictures."""
    asked_layouts: Mapping[str, str]
    """By name of input: nchw or nhwc, where the user says as what the file is fed."""
    labels: tuple[str, ...]
    task: str
    calibration: Samples
    held_out: Samples
    samples: Samples
    """All there are."""
    precision: str
    """What is tried first."""

    @property
    def classifies(self) -> bool:
        return self.task == cards.IMAGE_CLASSIFICATION


Notice = Callable[[str], None]


def make_plan(
    request: Request,
    target: Target,
    labels: tuple[str, ...],
    source: Source,
    lowered: LoweredGraph,
    notice: Notice,
    *,
    told: str | None = None,
) -> Plan:
    """Decide; ``told`` is the task by a description of the model, where nobody asks for one.

    Raises ConversionError where what was asked does not fit the model.
    """
    answer = lowered.graph.outputs[0]
    asked = _asked_task(request) or told
    if asked not in (OBJECT_DETECTION, POSE_ESTIMATION):  # whose labels stand for classes of boxes
        labels = _labels(labels, source, answer, notice)
    task, layouts, images = _images(request, source, lowered, len(labels), notice, asked)
    tables = table_sizes(lowered.graph)
    specs = [
        InputSpec(
            i.name, i.shape, i.dtype, images.get(i.name), layouts.get(i.name, ""), tables.get(i.name, 2)
        )
        for i in source.inputs
    ]
    samples = load_samples(request.samples, specs, labels=labels) if request.samples else noise(specs)
    for text in samples.notices:
        notice(text)
    _check_samples(request, samples, task, answer, notice)
    calibration, held_out = samples.split()
    return Plan(
        source=source,
        layouts=Layouts(lowered.input_layouts, lowered.output_layouts),
        images=images,
        image_layouts=layouts,
        asked_layouts={name or source.inputs[0].name: asked for name, asked in request.layouts.items()},
        labels=labels,
        task=task,
        calibration=calibration,
        held_out=held_out,
        samples=samples,
        precision=_first_precision(request, target, lowered, samples, notice),
    )


def _asked_task(request: Request) -> str | None:
    """The task that was given, else the one that the head stands for. Raises ConversionError when they differ."""
    heads = {OBJECT_DETECTION: HEADS, POSE_ESTIMATION: POSE_HEADS}
    if request.head and request.task and request.head not in heads.get(request.task, ()):
        expected = " or ".join(task for task, names in heads.items() if request.head in names)
        raise ConversionError(f"--head {request.head}: got --task {request.task}, expected {expected}")
    return request.task or task_of_head(request.head)


def _check_max_drop(request: Request, samples: Samples, task: str) -> None:
    if request.max_drop is not None and (samples.is_noise or task != cards.IMAGE_CLASSIFICATION):
        wrong = "no --samples" if samples.is_noise else f"the task {task}, which has no first answer"
        raise InvalidSamples(f"--max-drop: got {wrong}, expected a classifier and samples to ask it")


def _check_samples(request: Request, samples: Samples, task: str, answer: Tensor, notice: Notice) -> None:
    """Raise InvalidSamples for samples by which what was asked cannot be told."""
    classifies = task == cards.IMAGE_CLASSIFICATION
    if classifies:
        check_truths(samples, answer.shape[-1])
    _check_max_drop(request, samples, task)
    if classifies and samples.truths and not samples.holds_out and request.precision not in ("fp32", "fp16"):
        notice(
            f"accuracy is counted on the {len(samples)} samples that are calibrated on; give more to hold some out"
        )


def _labels(asked: tuple[str, ...], source: Source, answer: Tensor, notice: Notice) -> tuple[str, ...]:
    """The labels that were given, else those that the original carries, if they fit its answer."""
    scores = answer.shape[-1] if answer.shape else 1
    if asked and scores != len(asked):
        raise ConversionError(
            f"--labels: got {len(asked)} labels, the model's output '{answer.name}' has {scores} scores"
        )
    carried = source.inherited.labels or _characters(source, scores)
    if asked or not carried:
        return asked
    if len(carried) != scores:
        notice(f"the model carries {len(carried)} labels for {scores} scores: they are left out")
        return ()
    notice(f"the {len(carried)} labels that the model carries are taken over")
    return carried


def _characters(source: Source, classes: int) -> tuple[str, ...]:
    """Those that the original carries, one for each class."""
    try:
        return alphabet_of(source.inherited.characters, classes, "") if source.inherited.characters else ()
    except CardError:  # of another number: _labels says so
        return source.inherited.characters


def _images(
    request: Request, source: Source, lowered: LoweredGraph, labels: int, notice: Notice, asked: str | None
) -> tuple[str, dict[str, str], dict[str, ImagePreprocess]]:
    """The task; by name of input, the layout of its pictures, and how they become it."""
    carried = {} if request.preprocess else dict(source.inherited.images)
    pictures = {} if carried else _pictures(request, source, notice)
    asked = asked or source.inherited.task or None
    takes_images = bool(pictures or carried)
    task = cards.task_of(lowered.graph, takes_images=takes_images, labels=labels, asked=asked)
    layouts = {name: layout for name, (layout, _) in pictures.items()}
    images = {
        name: asked.for_input(*_size(source, name, layout), classifies=task == cards.IMAGE_CLASSIFICATION)
        for name, (layout, asked) in pictures.items()
    }
    if carried:
        notice("pictures become the input as the model itself says; --preprocess would win over it")
        layouts = {i.name: image_layout(i.shape) for i in source.inputs if i.name in carried}
    return task, layouts, images or carried


def _pictures(request: Request, source: Source, notice: Notice) -> dict[str, tuple[str, PreprocessRequest]]:
    """By name of input: the layout of its pictures and what was asked of them, where it takes pictures."""
    asked = request.preprocess
    layouts = {i.name: layout for i in source.inputs if (layout := image_layout(i.shape))}
    if asked is None and not (layouts and holds_images(request.samples)):
        return {}
    if len(source.inputs) != 1 or not layouts:
        found = ", ".join(f"'{i.name}' {i.shape}" for i in source.inputs)
        raise InvalidSamples(f"--preprocess: the model takes {found}, expected one image of 1 or 3 channels")
    if asked is None:
        notice(
            "no --preprocess given: ImageNet's mean and deviation are assumed; check that the model's are these"
        )
    parsed = parse_preprocess(asked or "imagenet")
    for text in parsed.notices:
        notice(text)
    return {name: (layout, parsed) for name, layout in layouts.items()}


def _size(source: Source, name: str, layout: str) -> tuple[tuple[int, int], int]:
    """Width and height, and channels, of the pictures that an input takes."""
    shape = next(i.shape for i in source.inputs if i.name == name)
    height, width, channels = shape[1:] if layout == "nhwc" else (shape[2], shape[3], shape[1])
    return (width, height), channels


def _first_precision(
    request: Request, target: Target, lowered: LoweredGraph, samples: Samples, notice: Notice
) -> str:
    asked = request.precision
    if request.format == "tflite":
        check_target(asked, target)
    check_ends(request.ends, asked)
    if asked == AS_SOURCE:
        check_stated(lowered)
    if lowered.keeps_quantization:
        notice("the model is quantized already: it stays as it is; --precision fp32 computes it in float32")
        return AS_SOURCE
    if asked in STATIC and samples.is_noise:
        raise InvalidSamples(
            f"--precision {asked} needs --samples: a folder of typical images (or .npy, .npz) to measure ranges on; "
            "without samples use --precision dynamic"
        )
    if asked != "auto":
        return asked
    if not samples.is_noise:
        return target.precision
    if target.precision == "int8":
        notice(
            f"no --samples given: {target.precision_without_samples} instead of int8, "
            "whose ranges are measured on samples"
        )
    return target.precision_without_samples


def tensor_cards(plan: Plan, inputs: list[Tensor], outputs: list[Tensor], activation: str) -> cards.Tensors:
    """What the card says of every input and output of a graph made by this plan."""
    return cards.Tensors(
        tuple(
            cards.tensor_card(
                tensor,
                plan.layouts.inputs[tensor.name],
                image=plan.images.get(tensor.name),
                image_layout=plan.asked_layouts.get(tensor.name) or image_layout(tensor.shape),
            )
            for tensor in inputs
        ),
        tuple(
            cards.tensor_card(
                tensor, plan.layouts.outputs[tensor.name], activation=activation if plan.classifies else ""
            )
            for tensor in outputs
        ),
    )
