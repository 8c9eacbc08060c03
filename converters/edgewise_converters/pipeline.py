"""The order of the work: read, rewrite, lower, quantize, verify, write."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from edgewise import tflite_metadata
from edgewise.model_card import ImagePreprocess, ModelCard
from edgewise.model_file import write_model
from edgewise_converters import cards
from edgewise_converters.agreement import Agreement
from edgewise_converters.errors import ConversionError, InvalidSamples, VerificationFailed
from edgewise_converters.lower import LoweredGraph, lower_graph
from edgewise_converters.onnx_session import Reference
from edgewise_converters.passes import canonicalize
from edgewise_converters.precisions import STEP_DOWN, TRIAL_CASES, StaticChoice, float_twin, static_int8
from edgewise_converters.preprocessing import PreprocessRequest, parse_preprocess
from edgewise_converters.progress import Progress, Silent
from edgewise_converters.proof import golden_cases
from edgewise_converters.readers import Source, read_onnx
from edgewise_converters.request import Request, Result, output_path, read_labels
from edgewise_converters.samples import InputSpec, Samples, holds_images, image_layout, load_samples, noise
from edgewise_converters.targets import Target, load_target
from edgewise_converters.tflite.graph import Graph
from edgewise_converters.tflite.writer import serialize
from edgewise_converters.verify import (
    MIN_CASES,
    Case,
    Layouts,
    check_operators,
    measure,
    noise_floor,
    open_runtime,
    passes,
    reference_cases,
)  # fmt: skip

_FLOOR_WANTED_BELOW_DB = 100.0


def convert(request: Request, progress: Progress | None = None) -> Result:
    """Convert one model. Raises ConversionError; nothing is written then, and the source is never touched."""
    return _Conversion(request, progress or Silent()).run()


class _Conversion:
    def __init__(self, request: Request, progress: Progress) -> None:
        self.request, self.progress = request, progress
        self.notices: list[str] = []
        self.target: Target = load_target(request.target)
        self.out = output_path(request)
        self.labels = read_labels(request.labels)
        self.choice: StaticChoice | None = None

    def run(self) -> Result:
        """Everything, in order."""
        source, lowered = self._lower()
        images = self._images(source, lowered)
        samples = self._samples(source, images)
        calibration, held_out = samples.split()
        classifies = self._task(lowered, images) == cards.IMAGE_CLASSIFICATION
        precision = self._first_precision(samples)
        cases, trials = self._ask_original(calibration, held_out, wants_trials=precision == "int8")
        while True:
            graph = self._at_precision(precision, lowered, calibration, images, trials, classifies)
            draft = self._draft(source, lowered, graph, precision, images)
            metadata = {tflite_metadata.BUFFER_NAME: tflite_metadata.encode(draft)}
            network = serialize(graph, description=f"Edgewise, {precision}", metadata=metadata)
            del graph
            agreement, floor = self._verify(network, precision, cases, _layouts(lowered), classifies)
            worst = min(agreement.values(), key=lambda a: a.worst_db)
            if passes(precision, worst, floor):
                break
            precision = self._step_down(precision, worst)
        card, size = self._write(network, draft, precision, cases, lowered, agreement, held_out, images)
        return Result(
            self.out, size, self.request.source.stat().st_size, self.target.name, precision, agreement, floor,
            held_out.described, tuple(self.notices), len(samples.skipped), card,
        )  # fmt: skip

    def _lower(self) -> tuple[Source, LoweredGraph]:
        """Read, rewrite, lower; the ONNX weights are gone after it, which halves what a conversion needs."""
        self.progress.stage("Reading the model")
        source, model = read_onnx(self.request.source, shapes=self.request.shapes)
        for text in source.notices:
            self._notice(text)
        self.progress.stage("Rewriting the graph")
        canonicalize(model)
        return source, lower_graph(model)

    def _notice(self, text: str) -> None:
        self.notices.append(text)
        self.progress.notice(text)

    # -- what goes in ---------------------------------------------------------------------------------------

    def _images(self, source: Source, lowered: LoweredGraph) -> dict[str, tuple[ImagePreprocess, str]]:
        """Preprocessing and layout in the original of each input that takes pictures, if any is known."""
        asked = self.request.preprocess
        candidates = [(i, layout) for i in source.inputs if (layout := image_layout(i.shape))]
        wants = asked is not None or holds_images(self.request.samples)
        if not wants or len(source.inputs) != 1 or not candidates:
            if asked is not None:
                found = ", ".join(f"'{i.name}' {i.shape}" for i in source.inputs)
                raise InvalidSamples(
                    f"--preprocess: the model takes {found}, expected one image of 1 or 3 channels"
                )
            return {}
        request = parse_preprocess(asked or "imagenet")
        if asked is None:
            self._notice(
                "no --preprocess given: ImageNet's mean and deviation are assumed; check that the model's are these"
            )
        for text in request.notices:
            self._notice(text)
        return {i.name: (self._image(request, i.shape, layout, lowered), layout) for i, layout in candidates}

    def _image(
        self, request: PreprocessRequest, shape: tuple[int, ...], layout: str, lowered: LoweredGraph
    ) -> ImagePreprocess:
        height, width, channels = shape[1:] if layout == "nhwc" else (shape[2], shape[3], shape[1])
        task = cards.task_of(
            lowered.graph, takes_images=True, labels=len(self.labels), asked=self.request.task
        )
        return request.for_input((width, height), channels, classifies=task == cards.IMAGE_CLASSIFICATION)

    def _task(self, lowered: LoweredGraph, images: Mapping[str, object]) -> str:
        task = cards.task_of(
            lowered.graph, takes_images=bool(images), labels=len(self.labels), asked=self.request.task
        )
        if self.labels and lowered.graph.outputs[0].shape[-1] != len(self.labels):
            scores = lowered.graph.outputs[0].shape[-1]
            raise ConversionError(
                f"--labels: got {len(self.labels)} labels, the model's output has {scores} scores"
            )
        return task

    def _samples(self, source: Source, images: Mapping[str, tuple[ImagePreprocess, str]]) -> Samples:
        specs = [InputSpec(i.name, i.shape, i.dtype, *images.get(i.name, (None, ""))) for i in source.inputs]
        return load_samples(self.request.samples, specs) if self.request.samples else noise(specs)

    def _ask_original(
        self, calibration: Samples, held_out: Samples, *, wants_trials: bool
    ) -> tuple[list[Case], list[Case]]:
        """The original's answers to what is verified on, and to some of what is calibrated on."""
        some = replace(calibration, sources=calibration.sources[:TRIAL_CASES] if wants_trials else [])
        self.progress.stage("Asking the original", len(held_out) + len(some))
        reference = Reference(self.request.source)
        cases = reference_cases(reference, held_out.feeds(), tick=self.progress.tick)
        trials = reference_cases(reference, some.feeds(), tick=self.progress.tick)
        # Fewer samples than cases: ask them again, so that state left between calls would show.
        cases = [cases[i % len(cases)] for i in range(max(len(cases), MIN_CASES))]
        return cases, trials

    def _first_precision(self, samples: Samples) -> str:
        asked = self.request.precision
        if asked == "int8" and samples.is_noise:
            raise InvalidSamples(
                "--precision int8 needs --samples: a folder of typical images (or .npy, .npz) to measure ranges on; "
                "without samples use --precision dynamic"
            )
        if asked != "auto":
            return asked
        precision = self.target.precision_without_samples if samples.is_noise else self.target.precision
        if samples.is_noise and self.target.precision == "int8":
            self._notice(
                f"no --samples given: {precision} instead of int8, whose ranges are measured on samples"
            )
        return precision

    # -- what comes out -------------------------------------------------------------------------------------

    def _at_precision(
        self,
        precision: str,
        lowered: LoweredGraph,
        samples: Samples,
        images: Mapping[str, tuple[ImagePreprocess, str]],
        trials: list[Case],
        classifies: bool,
    ) -> Graph:
        if precision != "int8":
            self.choice = None
            return float_twin(lowered.graph, precision, self.target)
        self.choice = static_int8(
            lowered.graph,
            self.target,
            samples,
            layouts=_layouts(lowered),
            images={name: image for name, (image, _) in images.items()},
            trials=trials,
            method=self.request.calibration,
            classifies=classifies,
            stage=self.progress.stage,
            tick=self.progress.tick,
        )
        return self.choice.graph

    def _verify(
        self, network: bytes, precision: str, cases: list[Case], layouts: Layouts, classifies: bool
    ) -> tuple[dict[str, Agreement], Agreement | None]:
        check_operators(network)
        agreement = {}
        for runtime in self.target.runtimes:
            self.progress.stage(f"Verifying {precision} in {runtime}", len(cases))
            backend = open_runtime(network, runtime)
            agreement[runtime] = measure(
                backend, cases, layouts, classifies=classifies, tick=self.progress.tick
            )
            backend.close()
        low = precision == "fp32" and min(a.worst_db for a in agreement.values()) < _FLOOR_WANTED_BELOW_DB
        return agreement, noise_floor(self.request.source, cases[:MIN_CASES]) if low else None

    def _step_down(self, precision: str, agreement: Agreement) -> str:
        worst = agreement.worst
        said = f"{precision}: output '{worst.name}' is at {worst.snr_db:.1f} dB against the original"
        if agreement.top1 is not None:
            said += f", top-1 agreement {agreement.top1:.0%}"
        following = STEP_DOWN.get(precision)
        if self.request.precision != "auto" or following is None:
            way_out = f"; --precision {following} or auto keeps more" if following else ""
            raise VerificationFailed(f"{said}: not good enough, so nothing was written{way_out}")
        self._notice(f"{said}: not good enough, trying {following}")
        return following

    def _draft(
        self,
        source: Source,
        lowered: LoweredGraph,
        graph: Graph,
        precision: str,
        images: Mapping[str, tuple[ImagePreprocess, str]],
    ) -> ModelCard:
        task = self._task(lowered, images)
        inputs = []
        for tensor in graph.inputs:
            image, layout = images.get(tensor.name, (None, ""))
            inputs.append(
                cards.tensor_card(
                    tensor, lowered.input_layouts[tensor.name], image=image, image_layout=layout
                )
            )
        outputs = [
            cards.tensor_card(
                tensor,
                lowered.output_layouts[tensor.name],
                activation=cards.activation_of(graph, tensor) if task == cards.IMAGE_CLASSIFICATION else "",
            )
            for tensor in graph.outputs
        ]
        return ModelCard(
            name=self.request.source.stem, task=task, inputs=tuple(inputs), outputs=tuple(outputs), labels=self.labels,
            target=self.target.name, precision=precision, runtimes=self.target.runtimes, source=cards.source_of(source),
            tools=cards.tool_versions(), command=self.request.command,
        )  # fmt: skip

    def _write(
        self,
        network: bytes,
        draft: ModelCard,
        precision: str,
        cases: list[Case],
        lowered: LoweredGraph,
        agreement: dict[str, Agreement],
        held_out: Samples,
        images: Mapping[str, tuple[ImagePreprocess, str]],
    ) -> tuple[ModelCard, int]:
        self.progress.stage("Writing")
        worst = min(agreement.values(), key=lambda a: a.worst_db)
        backend = open_runtime(network, self.target.runtimes[0])
        golden = golden_cases(
            backend,
            [case.feed for case in cases],
            _layouts(lowered),
            image_layouts={name: layout for name, (_, layout) in images.items()},
            network_bytes=len(network),
        )
        backend.close()
        card = replace(
            draft,
            golden=cards.Golden(len(golden), cards.GOLDEN_TOLERANCE_DB[precision]),
            quality=cards.quality_of(worst, held_out.described),
            calibration=self._calibration(),
        )
        partial = self.out.with_name(f".{self.out.name}.partial")
        try:
            write_model(partial, network, card=card, golden=golden)
            _self_test(partial, self.target.runtimes[0])
            size = partial.stat().st_size
            partial.replace(self.out)
        except OSError as error:
            raise ConversionError(f"{self.out}: cannot be written: {error.strerror}") from error
        finally:
            partial.unlink(missing_ok=True)
        return card, size

    def _calibration(self) -> dict[str, tuple[float, float]]:
        if self.choice is None:
            return {}
        seen = self.choice.calibration.by_tensor
        return {
            tensor.name: (seen[id(tensor)].minimum, seen[id(tensor)].maximum)
            for tensor in self.choice.graph.inputs + self.choice.graph.outputs
            if id(tensor) in seen
        }


def _self_test(path: Path, runtime: str) -> None:
    """The file as a device will meet it: loaded by the SDK, asked its own golden cases."""
    import edgewise

    with edgewise.load(path, backend=runtime) as model:
        outcome = model.self_test()
    if not outcome.passed:
        raise VerificationFailed(f"the written file does not repeat its own golden cases: {outcome}")


def _layouts(lowered: LoweredGraph) -> Layouts:
    return Layouts(lowered.input_layouts, lowered.output_layouts)
