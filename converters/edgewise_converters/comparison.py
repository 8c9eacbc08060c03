"""Two model files, of whatever formats, asked the same samples."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgewise.errors import EdgewiseError
from edgewise.model_card import ImagePreprocess
from edgewise.model_file import ModelFile, read_model
from edgewise.tasks.image_input import stated_preprocess
from edgewise.tensors import Array, TensorSpec
from edgewise_converters.agreement import Agreement, Meter, OutputAgreement
from edgewise_converters.errors import InvalidSamples, SourceError
from edgewise_converters.matching import (
    Pair,
    Shape,
    by_layout,
    concrete_shapes,
    is_one_vector,
    match_tensors,
    orders,
)
from edgewise_converters.preprocessing import parse_preprocess
from edgewise_converters.progress import Progress, Silent
from edgewise_converters.readers.source import TFLITE, TORCH, format_of
from edgewise_converters.reference import Reference, open_reference
from edgewise_converters.samples import (
    Feed,
    InputSpec,
    Samples,
    holds_images,
    image_layout,
    load_samples,
    noise,
)
from edgewise_converters.tflite.trial import try_file


@dataclass(frozen=True)
class ComparedFile:
    """One of the two files."""

    path: Path
    format: str
    size_bytes: int


@dataclass(frozen=True)
class ComparedOutput:
    """One output of the first model against its counterpart in the second."""

    agreement: OutputAgreement
    """Under the first model's name."""
    second_name: str
    axes: str
    """How the second's axes lie, such as NCHW to NHWC; "" where they lie alike."""


@dataclass(frozen=True)
class Comparison:
    """How well the second model's answers agree with the first's."""

    first: ComparedFile
    second: ComparedFile
    agreement: Agreement
    outputs: tuple[ComparedOutput, ...]
    inputs: dict[str, str]
    """By name of the first model's input, what is done to it for the second; "" for nothing."""
    measured_on: str
    skipped_samples: int
    notices: tuple[str, ...]


def compare(
    first: Path,
    second: Path,
    *,
    samples: Path | None = None,
    preprocess: str | None = None,
    shapes: Mapping[str, Shape] | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Ask both models the same, and measure how well the second agrees with the first.

    ``shapes`` are of the first model's inputs, where they are open in both. Raises ConversionError.
    """
    with ExitStack() as stack:
        return _Comparing(first, second, progress or Silent(), stack).run(samples, preprocess, shapes or {})


class _Side:
    """One of the models: opened, and what its file says of itself."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self.path, self.format = path, format_of(path)
        self.carried = _carried(path, self.format)
        if self.format == TFLITE:
            try_file(path)
        self.model: Reference = open_reference(path, form=self.format)
        stack.callback(self.model.close)

    @property
    def file(self) -> ComparedFile:
        """For the outcome."""
        return ComparedFile(self.path, self.format, self.path.stat().st_size)

    def source_names(self) -> dict[str, str]:
        """By name, what a tensor was called in the model this one was made from."""
        card = self.carried.card if self.carried else None
        return {t.name: t.source_name for t in (*card.inputs, *card.outputs)} if card else {}

    def layout(self, spec: TensorSpec) -> str:
        """nchw or nhwc, by the card or the shape."""
        card = self.carried.card if self.carried else None
        stated = {t.name: t.layout for t in (*card.inputs, *card.outputs)} if card else {}
        return stated.get(spec.name, "") or image_layout((1, *spec.shape[1:]) if spec.shape else ())

    def preprocess(self, spec: TensorSpec) -> ImagePreprocess | None:
        """How pictures become an input, if the file says."""
        if self.carried is None:
            return None
        try:
            return stated_preprocess(self.carried, replace(spec, layout=self.layout(spec)))
        except EdgewiseError:
            return None


def _carried(path: Path, form: str) -> ModelFile | None:
    if form == TORCH:
        return None
    try:
        return read_model(path)
    except EdgewiseError as error:
        raise SourceError(str(error)) from error


class _Comparing:
    def __init__(self, first: Path, second: Path, progress: Progress, stack: ExitStack) -> None:
        self.progress = progress
        self.notices: list[str] = []
        progress.stage("Opening both models")
        self.first, self.second = _Side(first, stack), _Side(second, stack)
        names = self.second.source_names()
        one, other = self.first.model, self.second.model
        self.inputs = [
            by_layout(pair, self.first.layout(pair.first), self.second.layout(pair.second))
            for pair in match_tensors("input", one.inputs, other.inputs, source_names=names)
        ]
        self.outputs = match_tensors(
            "output", one.outputs, other.outputs, source_names=names, all_of_them=False
        )
        if len(self.outputs) < max(len(one.outputs), len(other.outputs)):
            self._notice(
                f"{len(one.outputs)} and {len(other.outputs)} outputs: only {len(self.outputs)} of them match and "
                "are compared"
            )

    def _notice(self, text: str) -> None:
        self.notices.append(text)
        self.progress.notice(text)

    def run(self, path: Path | None, preprocess: str | None, asked: Mapping[str, Shape]) -> Comparison:
        """Everything, in order."""
        unknown = [name for name in asked if name not in {pair.first.name for pair in self.inputs}]
        if unknown:
            names = ", ".join(pair.first.name for pair in self.inputs)
            raise SourceError(
                f"--shape {unknown[0]}: the first model has no such input; its inputs are {names}"
            )
        shapes = {p.first.name: concrete_shapes(p, asked.get(p.first.name)) for p in self.inputs}
        samples = self._samples(path, preprocess, shapes)
        meters = self._ask(samples, shapes)
        chosen = [max(tried, key=lambda pair_and: pair_and[1].outputs[0].snr_db) for tried in meters]
        agreement = replace(
            chosen[0][1], outputs=tuple(found.outputs[0] for _, found in chosen), top1=chosen[0][1].top1
        )
        return Comparison(
            first=self.first.file,
            second=self.second.file,
            agreement=agreement,
            outputs=tuple(
                ComparedOutput(found.outputs[0], pair.second.name, pair.described) for pair, found in chosen
            ),
            inputs={pair.first.name: pair.described for pair in self.inputs},
            measured_on=samples.described,
            skipped_samples=len(samples.skipped),
            notices=tuple(self.notices),
        )

    def _samples(
        self, path: Path | None, preprocess: str | None, shapes: Mapping[str, tuple[Shape, Shape]]
    ) -> Samples:
        specs = [self._spec(pair, shapes[pair.first.name][0], path, preprocess) for pair in self.inputs]
        if path is not None:
            return load_samples(path, specs)
        self._notice(
            "no --samples given: random inputs, which check the arithmetic and say nothing about classes"
        )
        return noise(specs)

    def _spec(self, pair: Pair, shape: Shape, path: Path | None, preprocess: str | None) -> InputSpec:
        """What is fed to an input of the first model, and how pictures become it."""
        spec = replace(pair.first, shape=shape)
        real = np.dtype(np.float32 if spec.quantization is not None else spec.dtype)
        layout = image_layout(shape)
        image = self._image(pair, spec, layout, path, preprocess)
        return InputSpec(spec.name, shape, real, image, layout if image else "")

    def _image(
        self, pair: Pair, spec: TensorSpec, layout: str, path: Path | None, preprocess: str | None
    ) -> ImagePreprocess | None:
        if preprocess is None:
            stated = self.first.preprocess(spec) or self.second.preprocess(pair.second)
            if stated is not None or not layout or not holds_images(path):
                return stated
            self._notice("no --preprocess given: ImageNet's mean and deviation are assumed")
        if not layout:
            raise InvalidSamples(f"--preprocess: input '{spec.name}' {list(spec.shape)} takes no image")
        parsed = parse_preprocess(preprocess or "imagenet")
        height, width, channels = spec.shape[1:] if layout == "nhwc" else (*spec.shape[2:], spec.shape[1])
        classifies = is_one_vector(self.outputs[0].first)
        return parsed.for_input((width, height), channels, classifies=classifies)

    def _ask(
        self, samples: Samples, shapes: Mapping[str, tuple[Shape, Shape]]
    ) -> list[list[tuple[Pair, Agreement]]]:
        """For every output, the agreement under each order of axes that its shapes allow."""
        tried = [
            [(replace(pair, order=order), Meter(classifies=self._classifies(pair, samples)))
             for order in orders(pair.first.shape, pair.second.shape)]
            for pair in self.outputs
        ]  # fmt: skip
        self.progress.stage("Asking both models", len(samples))
        misfits: dict[int, list[tuple[Array, Array]]] = {}
        for feed in samples.feeds():
            expected = self.first.model.run(feed)
            actual = self.second.model.run(self._for_second(feed, shapes))
            for pair, meter in (entry for candidates in tried for entry in candidates):
                want, got = expected[pair.first.name], actual[pair.second.name]
                if (placed := _placed(pair, got, want.shape)) is not None:
                    meter.add({pair.first.name: want}, {pair.first.name: placed})
                else:
                    misfits.setdefault(id(meter), []).append((want, got))
            self.progress.tick()
        for pair, meter in (entry for candidates in tried for entry in candidates):
            # An order of axes that fits some answers is one: where it does not, there are more or fewer results.
            for want, got in misfits.get(id(meter), []) if meter.cases else ():
                meter.add({pair.first.name: want}, {pair.first.name: got})
        found = [[(p, m.result()) for p, m in candidates if m.cases] for candidates in tried]
        for pair, candidates in zip(self.outputs, found, strict=True):
            if not candidates:
                raise SourceError(
                    f"output '{pair.first.name}': the two models answer in shapes that do not fit each other"
                )
        return found

    def _classifies(self, pair: Pair, samples: Samples) -> bool:
        counts = -1 in pair.first.shape[1:] or -1 in pair.second.shape[1:]  # results, not classes
        return pair is self.outputs[0] and is_one_vector(pair.first) and not counts and not samples.is_noise

    def _for_second(self, feed: Feed, shapes: Mapping[str, tuple[Shape, Shape]]) -> Feed:
        return {
            pair.second.name: _cast(
                pair.to_second(feed[pair.first.name], shapes[pair.first.name][1]), pair.second
            )
            for pair in self.inputs
        }


def _placed(pair: Pair, array: Array, shape: Shape) -> Array | None:
    """The second's answer as the first would give it; None where it does not fit after all."""
    if pair.is_reshaped and array.size != np.prod(shape):
        return None
    placed = pair.to_first(array, shape)
    return placed if placed.shape == shape else None


def _cast(array: Array, spec: TensorSpec) -> Array:
    """As the type of an input; one that is quantized keeps real numbers, which its model quantizes."""
    return array if spec.quantization is not None else array.astype(spec.dtype)
