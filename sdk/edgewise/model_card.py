"""What a model file carries beside the network: how to feed it, how to read it, where it came from.

The card is JSON in the model file. A card of this version with keys this code does not know is read
without them; a card of a later version is refused.
"""

from dataclasses import dataclass, field

from edgewise import typed_json
from edgewise.anomaly_card import AnomalyCard
from edgewise.audio_card import AudioPreprocess
from edgewise.detection_card import DetectionCard
from edgewise.drift_baseline import DriftBaseline
from edgewise.errors import CardError
from edgewise.pose_card import PoseCard
from edgewise.series_card import SeriesPreprocess
from edgewise.tensors import LAYOUTS, Quantization
from edgewise.text_card import TextPreprocess

CARD_VERSION = 1
IMAGE_CLASSIFICATION = "image-classification"
OBJECT_DETECTION = "object-detection"
IMAGE_SEGMENTATION = "image-segmentation"
IMAGE_EMBEDDING = "image-embedding"
POSE_ESTIMATION = "pose-estimation"
AUDIO_CLASSIFICATION = "audio-classification"
TIME_SERIES_CLASSIFICATION = "time-series-classification"
ANOMALY_DETECTION = "anomaly-detection"
TEXT_EMBEDDING = "text-embedding"
TENSORS = "tensors"
"""The task of a model whose answer is its outputs."""
TOP1_ACCURACY = "top-1 accuracy"
TOP1_AGREEMENT = "top-1 agreement with the original"
"""Figures of `Quality` that the fleet is told."""
TASKS = (
    IMAGE_CLASSIFICATION,
    OBJECT_DETECTION,
    IMAGE_SEGMENTATION,
    IMAGE_EMBEDDING,
    POSE_ESTIMATION,
    AUDIO_CLASSIFICATION,
    TIME_SERIES_CLASSIFICATION,
    ANOMALY_DETECTION,
    TEXT_EMBEDDING,
    TENSORS,
)
GOLDEN_FILE = "edgewise_golden.npz"

RESIZES = ("stretch", "centre-crop", "letterbox")
RESAMPLES = ("bilinear", "bicubic", "nearest")
COLOURS = ("rgb", "bgr", "grey")
_PIXELS_LIMIT = 1 << 26
"""Of a model's input: 8192 x 8192."""
ACTIVATIONS = ("", "logits", "probabilities")


def _one_of(what: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        names = ", ".join(repr(name) for name in allowed)
        raise CardError(f"{what}: got {value!r}, expected one of {names}")


@dataclass(frozen=True)
class ImagePreprocess:
    """From a picture to an input: ``tensor = (pixel - mean) / std``, pixels 0 to 255."""

    size_wh: tuple[int, int]
    resize: str = "stretch"
    """stretch, centre-crop (shorter side to size / crop_fraction, then the middle), or letterbox."""
    crop_fraction: float = 1.0
    """For centre-crop: 0.875 is 256 -> 224, as torchvision evaluates."""
    resample: str = "bilinear"
    colour: str = "rgb"
    mean: tuple[float, ...] = (0.0,)
    """One value for all channels or one per channel, in the order of ``colour``."""
    std: tuple[float, ...] = (1.0,)
    fill: int = 0
    """The pixel value of a letterbox's border."""

    def __post_init__(self) -> None:
        _one_of("resize", self.resize, RESIZES)
        _one_of("resample", self.resample, RESAMPLES)
        _one_of("colour", self.colour, COLOURS)
        if min(self.size_wh) < 1 or self.size_wh[0] * self.size_wh[1] > _PIXELS_LIMIT:
            raise CardError(
                f"size_wh: got {self.size_wh}, expected two positive numbers, at most {_PIXELS_LIMIT} pixels"
            )
        if not 0 < self.crop_fraction <= 1:
            raise CardError(f"crop_fraction: got {self.crop_fraction}, expected more than 0, at most 1")
        if not 0 <= self.fill <= 255:
            raise CardError(f"fill: got {self.fill}, expected 0 to 255")
        for what, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, self.channels):
                raise CardError(f"{what}: got {len(values)} values, expected 1 or {self.channels}")
        if not all(value > 0 for value in self.std):
            raise CardError(f"std: got {self.std}, expected positive numbers")

    @property
    def channels(self) -> int:
        """1 for grey, else 3."""
        return 1 if self.colour == "grey" else 3


@dataclass(frozen=True)
class TensorCard:
    """One input or output of the model."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    layout: str = ""
    quantization: Quantization | None = None
    image: ImagePreprocess | None = None
    activation: str = ""
    """For scores: logits (softmax is still to be applied) or probabilities."""
    source_name: str = ""
    """The tensor's name in the model this one was converted from."""
    audio: AudioPreprocess | None = field(default=None, metadata={typed_json.LEFT_OUT_WHEN_NONE: True})
    """For an input of log-mel rows or MFCC: how they are made of sound."""
    series: SeriesPreprocess | None = field(default=None, metadata={typed_json.LEFT_OUT_WHEN_NONE: True})
    """For an input of measurements over time: how their windows are made."""

    def __post_init__(self) -> None:
        _one_of("layout", self.layout, LAYOUTS)
        _one_of("activation", self.activation, ACTIVATIONS)


@dataclass(frozen=True)
class Source:
    """The trained model this one was converted from."""

    file_name: str
    sha256: str
    format: str = ""
    opset: int = 0


@dataclass(frozen=True)
class Golden:
    """Inputs with the outputs they must give, kept in the model file."""

    cases: int
    tolerance_db: float
    """A device's answer must reach this signal-to-noise ratio against the kept one."""
    file: str = GOLDEN_FILE
    output_steps: tuple[int, ...] = ()
    """For each output of the model: 1 where it is kept whole, else every how manieth value is kept, flattened."""

    def __post_init__(self) -> None:
        if self.cases < 0:
            raise CardError(f"golden.cases: got {self.cases}, expected none or more")
        if any(step < 1 for step in self.output_steps):
            raise CardError(f"golden.output_steps: got {self.output_steps}, expected positive numbers")


@dataclass(frozen=True)
class Quality:
    """One figure, and what it was measured on."""

    metric: str
    value: float
    unit: str = ""
    measured_on: str = ""
    samples: int = 0
    low: float | None = None
    """Lower end of the 95 % interval, of figures that are counted."""
    high: float | None = None


@dataclass(frozen=True)
class LatencyPromise:
    """How long a prediction took on one board, from the picture to the answer: what its device is held to."""

    board: str
    """As its device tree says, else the model of its cores."""
    p50_ms: float
    p95_ms: float
    runs: int
    threads: int
    backend: str
    measured_on: str = ""
    """The picture."""

    def __post_init__(self) -> None:
        if not 0 < self.p50_ms <= self.p95_ms or self.runs < 1:
            raise CardError(
                f"latency: got p50 {self.p50_ms} ms and p95 {self.p95_ms} ms of {self.runs} runs, "
                "expected 0 < p50 <= p95"
            )


@dataclass(frozen=True)
class LayerPrecision:
    """How many operators compute in one precision, and which, where they are the exception."""

    precision: str
    operators: int
    names: tuple[str, ...] = ()
    """Of the first few; none for what most of the model is in."""


def _check_feedback(
    feedback: dict[str, str], inputs: tuple[TensorCard, ...], outputs: tuple[TensorCard, ...]
) -> None:
    given = {tensor.name: tensor for tensor in inputs}
    made = {tensor.name: tensor for tensor in outputs}
    for output, name in feedback.items():
        if output not in made or name not in given:
            raise CardError(f"feedback: got output {output!r} to input {name!r}, and there is no such pair")
        if (made[output].dtype, len(made[output].shape)) != (given[name].dtype, len(given[name].shape)):
            raise CardError(
                f"feedback: output {output!r} is {made[output].dtype}{list(made[output].shape)}, "
                f"input {name!r} is {given[name].dtype}{list(given[name].shape)}"
            )
    if len(set(feedback.values())) < len(feedback):
        raise CardError(f"feedback: got {feedback}, expected each input once")


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """Everything known about one model file."""

    name: str
    task: str
    inputs: tuple[TensorCard, ...]
    outputs: tuple[TensorCard, ...]
    version: int = CARD_VERSION
    labels: tuple[str, ...] = ()
    """By output index, for classification; by class id, for detection and segmentation."""
    target: str = ""
    precision: str = ""
    runtimes: tuple[str, ...] = ()
    """The runtimes this very file was run in before it was written."""
    source: Source | None = None
    tools: dict[str, str] = field(default_factory=dict)
    command: str = ""
    golden: Golden | None = None
    quality: tuple[Quality, ...] = ()
    layers: tuple[LayerPrecision, ...] = ()
    """Most operators first."""
    calibration: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Tensor name to the smallest and largest value seen."""
    calibration_samples: int = 0
    calibration_method: str = ""
    """How ranges and weights were chosen."""
    feedback: dict[str, str] = field(default_factory=dict)
    """Of recurrent models: output name to the name of the input that takes it in the next call."""
    drift: DriftBaseline | None = None
    """What this file met and answered on the samples it was made with."""
    licence: str = ""
    created: str = ""
    """ISO 8601, UTC."""
    latency: tuple[LatencyPromise, ...] | None = field(
        default=None, metadata={typed_json.LEFT_OUT_WHEN_NONE: True}
    )
    """Measured, by board; written by `edgewise bench --promise`."""
    detection: DetectionCard | None = field(default=None, metadata={typed_json.LEFT_OUT_WHEN_NONE: True})
    """For object-detection: which head, and which boxes count."""
    pose: PoseCard | None = field(default=None, metadata={typed_json.LEFT_OUT_WHEN_NONE: True})
    """For pose-estimation: which head, and what its points are."""
    anomaly: AnomalyCard | None = field(default=None, metadata={typed_json.LEFT_OUT_WHEN_NONE: True})
    """For anomaly-detection: what is normal, and from which score on it is not."""
    text: TextPreprocess | None = field(default=None, metadata={typed_json.LEFT_OUT_WHEN_NONE: True})
    """For text-embedding: the tokenizer, and how tokens' vectors become one."""

    def __post_init__(self) -> None:
        if not 1 <= self.version <= CARD_VERSION:
            raise CardError(
                f"version: got {self.version}, expected at most {CARD_VERSION}; update edgewise to read it"
            )
        if not self.inputs or not self.outputs:
            raise CardError(
                f"got {len(self.inputs)} inputs and {len(self.outputs)} outputs, expected some of each"
            )
        if self.golden and len(self.golden.output_steps) not in (0, len(self.outputs)):
            raise CardError(
                f"golden.output_steps: got {len(self.golden.output_steps)} numbers, expected {len(self.outputs)}"
            )
        _check_feedback(self.feedback, self.inputs, self.outputs)
        for label in self.labels:
            if "\n" in label or "\r" in label:
                raise CardError(f"labels: got {label!r:.60}, expected no line break in a label")

    def to_json(self) -> str:
        """The card as JSON text."""
        return typed_json.encode(self)

    @classmethod
    def from_json(cls, text: str | bytes) -> "ModelCard":
        """The card that `to_json` wrote. Raises CardError naming the wrong field."""
        return typed_json.decode(cls, text, what="model card")
