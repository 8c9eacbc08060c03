"""The order of the work: read, rewrite, lower, quantize, verify, write."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

from edgewise import tflite_metadata
from edgewise.drift_baseline import DriftBaseline
from edgewise.errors import ModelFileError
from edgewise.golden import GoldenCase
from edgewise.model_card import ModelCard
from edgewise.model_file import write_model
from edgewise_converters import cards
from edgewise_converters.agreement import Agreement
from edgewise_converters.as_source import AS_SOURCE, at_source_precision, described
from edgewise_converters.described import description_in, read_description
from edgewise_converters.errors import ConversionError, VerificationFailed
from edgewise_converters.examination import begin_survey, examine, too_much_lost
from edgewise_converters.layers import layer_precisions
from edgewise_converters.lower import LoweredGraph
from edgewise_converters.made_card import made_card
from edgewise_converters.original import Original
from edgewise_converters.plan import Plan, make_plan, tensor_cards
from edgewise_converters.precisions import PRECISIONS, TRIAL_CASES, following
from edgewise_converters.progress import Progress
from edgewise_converters.proof import golden_cases
from edgewise_converters.quantize.integer_ends import with_ends
from edgewise_converters.readers import Source
from edgewise_converters.report.journal import Attempt, Journal
from edgewise_converters.report.place import report_path
from edgewise_converters.request import Request, Result, read_labels
from edgewise_converters.samples import image_layout
from edgewise_converters.search import StaticRequest
from edgewise_converters.static_precisions import STATIC, Setting, at_static_precision, check_ends
from edgewise_converters.stored_precisions import ROUNDED, Trials, at_stored_precision, float16_metadata
from edgewise_converters.survey import Accuracy, Survey
from edgewise_converters.targets import Target, load_target
from edgewise_converters.tflite.graph import Graph
from edgewise_converters.tflite.writer import serialize
from edgewise_converters.verify import (
    MIN_CASES,
    Case,
    check_operators,
    measure,
    noise_floor,
    open_runtime,
    passes,
    reference_cases,
)

_FLOOR_WANTED_BELOW_DB = 100.0


@dataclass(frozen=True)
class _Built:
    """What is known of a network that is good enough to be written."""

    card: ModelCard
    agreement: dict[str, Agreement]
    floor: Agreement | None
    baseline: DriftBaseline | None = None
    accuracy: Accuracy | None = None

    @property
    def worst(self) -> Agreement:
        return min(self.agreement.values(), key=lambda agreement: agreement.worst_db)


class Conversion:
    """One conversion to a TFLite file; what another format does otherwise is in the methods it overrides."""

    precisions: tuple[str, ...] = PRECISIONS
    """Those of the format."""

    def __init__(self, request: Request, original: Original, out: Path, progress: Progress) -> None:
        self.request, self.original, self.out, self.progress = request, original, out, progress
        self.notices: list[str] = []
        self.target: Target = load_target(request.target)
        self.labels = read_labels(request.labels)
        self.description = (
            read_description(request.describe) if request.describe else description_in(request.source)
        )
        self.keeps_quantization = request.precision in ("auto", AS_SOURCE)
        """Whether a quantized source stays so; not when it steps down from that."""
        self.report = report_path(request.report)
        self.journal = Journal()
        self.survey: Survey | None = None
        """What is asked of all samples; None for random inputs."""
        self.network = b""
        """What was serialized last; an attribute, so that it can be let go before the file is loaded again."""

    def run(self) -> Result:
        """Everything, in order."""
        source, lowered = self._lower()
        plan = make_plan(
            self.request, self.target, self.labels, source, lowered, self._notice, told=self.description.task
        )
        said = tensor_cards(plan, lowered.graph.inputs, lowered.graph.outputs, "")
        # What was described and does not fit is said before the long work.
        self._card(plan, plan.precision, said)
        waiting = [lowered]
        del lowered  # the list holds it alone, so that `_make` frees its weights once they are serialized
        cases, trials = self._ask_original(plan)
        built = self._build(plan, waiting, cases, trials)
        result = self._write(plan, built, cases)
        self._report(plan, result, cases)
        return result

    def _report(self, plan: Plan, result: Result, cases: list[Case]) -> None:
        """The page about all this, where one is wanted."""
        if self.report is None:
            return
        from edgewise_converters.report.collect import collect
        from edgewise_converters.report.page import render, write_page

        self.progress.stage("Writing the report")
        findings = collect(
            self.request.source,
            result,
            self.journal,
            lambda: self._lower()[1],
            plan.layouts,
            cases,
            plan.source.values,
        )
        write_page(self.report, render(findings))

    def _notice(self, text: str) -> None:
        if text not in self.notices:
            self.notices.append(text)
            self.progress.notice(text)

    def _lower(self) -> tuple[Source, LoweredGraph]:
        """Read, rewrite, lower; the original's weights are gone after it, which halves what a conversion needs."""
        source, lowered = self.original.lower(self.progress.stage, keep_quantization=self.keeps_quantization)
        for text in source.notices:
            self._notice(text)
        return source, lowered

    def _ask_original(self, plan: Plan) -> tuple[list[Case], list[Case]]:
        """The original's answers to what is verified on, and to some of what is calibrated on."""
        by_answers = plan.precision in (*STATIC, *ROUNDED) and not plan.calibration.is_noise
        compared = by_answers or plan.precision == "int4"
        wanted = TRIAL_CASES if compared else 0
        some = replace(plan.calibration, sources=plan.calibration.sources[:wanted])
        self.progress.stage("Asking the original", len(plan.held_out) + len(some))
        reference = self.original.reference(plan.source)
        cases = reference_cases(reference, plan.held_out, tick=self.progress.tick)
        trials = reference_cases(reference, some, tick=self.progress.tick)
        self.survey = begin_survey(plan, reference, self.request.max_drop, self.progress)
        reference.close()
        # Fewer samples than cases: ask them again, so that state left between calls would show.
        cases = [cases[i % len(cases)] for i in range(max(len(cases), MIN_CASES))]
        return cases, trials

    def _examined(self, plan: Plan, built: _Built) -> _Built:
        """With what the network does on all samples."""
        if self.survey is None:
            return built
        runtime = self.target.runtimes[0]
        baseline, accuracy = examine(self.survey, self.network, runtime, plan, built.card, self.progress)
        return replace(built, baseline=baseline, accuracy=accuracy)

    def _build(
        self, plan: Plan, lowered: list[LoweredGraph], cases: list[Case], trials: list[Case]
    ) -> _Built:
        """The first precision that is good enough. ``lowered`` is taken out of its list, to be freed in time."""
        precision = plan.precision
        while True:
            card = self._make(plan, precision, lowered, trials)
            try:
                agreement, floor = self._verify(plan, precision, cases)
            except VerificationFailed as error:
                precision = self._after_failure(precision, error)
                continue
            built = _Built(card, agreement, floor)
            lost = ""
            if passes(precision, built.worst, floor):
                built = self._examined(plan, built)
                lost = too_much_lost(precision, built.accuracy, self.request.max_drop)
                if not lost:
                    self.journal.attempts.append(Attempt(precision, built.worst))
                    return built
            after = self._step_down(precision, built.worst, lost)
            self.journal.attempts.append(Attempt(precision, built.worst, f"not good enough, then {after}"))
            precision = after

    def _compared(self, plan: Plan, trials: list[Case]) -> Trials:
        """What ways of storing weights are compared on."""
        stage, tick = self.progress.stage, self.progress.tick
        smallest = self.request.smallest
        return Trials(plan.calibration, plan.layouts, trials, stage, tick, self._notice, smallest)

    def _card(self, plan: Plan, precision: str, tensors: cards.Tensors) -> ModelCard:
        """Without what is measured. Raises ConversionError where what is described does not fit the model."""
        return made_card(self.request, self.description, plan, self.target, precision, tensors)

    def _make(self, plan: Plan, precision: str, lowered: list[LoweredGraph], trials: list[Case]) -> ModelCard:
        """Serialize the network at a precision. Returns its card, without what is measured later."""
        graph = (lowered.pop() if lowered else self._lower()[1]).graph
        graph, ranges = self._at_precision(plan, precision, graph, trials)
        activation = cards.activation_of(graph, graph.outputs[0])
        named = described(graph) if precision == AS_SOURCE else precision
        card = self._card(plan, named, tensor_cards(plan, graph.inputs, graph.outputs, activation))
        card = replace(card, layers=layer_precisions(graph), calibration=ranges)
        metadata = {
            tflite_metadata.BUFFER_NAME: tflite_metadata.encode(card),
            **float16_metadata(graph, precision, self.target, self._compared(plan, trials)),
        }
        self.network = serialize(
            graph,
            description=f"Edgewise, {precision}",
            metadata=metadata,
            consume=True,
            signature=plan.source.inherited.signature,
        )
        return card

    def _check_network(self) -> None:
        """Raise VerificationFailed for a file that small runtimes cannot run whole."""
        check_operators(self.network)

    def _at_precision(
        self, plan: Plan, precision: str, graph: Graph, trials: list[Case]
    ) -> tuple[Graph, dict[str, tuple[float, float]]]:
        """The graph at a precision, and the ranges that were measured for it."""
        if precision == AS_SOURCE:
            return at_source_precision(graph, self.target), {}
        if precision not in STATIC:
            check_ends(self.request.ends, precision)
            return at_stored_precision(graph, precision, self.target, self._compared(plan, trials)), {}
        wanted = StaticRequest(
            ranges=self.request.calibration,
            rescue=self.request.rescue,
            per_tensor=self.request.weights == "per-tensor",
            symmetric=self.request.activations == "symmetric",
        )
        setting = Setting(
            self.target,
            plan.calibration,
            plan.layouts,
            plan.images,
            trials,
            self.progress.stage,
            self.progress.tick,
        )
        choice = at_static_precision(graph, precision, wanted, setting)
        for trial in choice.tried:
            self.journal.tried(trial.why, trial.agreement)
        self.journal.method = str(choice.best.options)
        if self.request.ends:
            return with_ends(choice.graph, self.request.ends, choice.ranges), choice.ranges
        return choice.graph, choice.ranges

    def _verify(
        self, plan: Plan, precision: str, cases: list[Case]
    ) -> tuple[dict[str, Agreement], Agreement | None]:
        self._check_network()
        agreement = {}
        for runtime in self.target.runtimes:
            self.progress.stage(f"Verifying {precision} in {runtime}", len(cases))
            backend = open_runtime(self.network, runtime)
            # Noise gets the same first answer from any network: only samples say whether the classes agree.
            judged = plan.classifies and not plan.held_out.is_noise
            agreement[runtime] = measure(
                backend, cases, plan.layouts, classifies=judged, tick=self.progress.tick
            )
            backend.close()
        low = precision == "fp32" and min(a.worst_db for a in agreement.values()) < _FLOOR_WANTED_BELOW_DB
        floor = noise_floor(self.original.otherwise(plan.source), cases[:MIN_CASES]) if low else None
        return agreement, floor

    def _after_failure(self, precision: str, error: VerificationFailed) -> str:
        """The next precision where a file of this one does not run. Raises the error where there is none to try."""
        after = following(precision, self.precisions)
        if self.request.precision != "auto" or after is None:
            raise error
        self.keeps_quantization = False
        self._notice(f"{precision}: {error}: trying {after}")
        return after

    def _step_down(self, precision: str, agreement: Agreement, lost: str) -> str:
        worst = agreement.worst
        said = lost or f"{precision}: output '{worst.name}' is at {worst.snr_db:.1f} dB against the original"
        if math.isinf(worst.max_error) and not lost:
            said = f"{precision}: output '{worst.name}' has another number of results than the original's"
        if (top1 := agreement.top1_interval) is not None and not lost:
            said += f", the same first answer in {top1.percent}"
        after = following(precision, self.precisions)
        self.keeps_quantization = False
        if self.request.precision != "auto" or after is None:
            way_out = f"; --precision {after} or auto keeps more" if after else ""
            way_out += ", edgewise diagnose tells which layers lose" if precision in STATIC else ""
            raise VerificationFailed(f"{said}: not good enough, so nothing was written{way_out}")
        self._notice(f"{said}: not good enough, trying {after}")
        return after

    def _write(self, plan: Plan, built: _Built, cases: list[Case]) -> Result:
        self.progress.stage("Writing")
        backend = open_runtime(self.network, self.target.runtimes[0])
        proof = golden_cases(
            backend,
            [case.feed for case in cases],
            plan.layouts,
            image_layouts={i.name: layout for i in plan.source.inputs if (layout := image_layout(i.shape))},
            network_bytes=len(self.network),
        )
        backend.close()
        card = replace(
            built.card,
            golden=cards.Golden(
                len(proof.cases),
                cards.golden_tolerance_db(built.card.precision, fp16_arithmetic=self.target.fp16_arithmetic),
                output_steps=proof.output_steps,
            ),
            quality=cards.quality_of(built.worst, plan.held_out.described, built.accuracy),
            drift=built.baseline,
            calibration_samples=len(plan.calibration) if built.card.calibration else 0,
            calibration_method=self.journal.method if built.card.calibration else "",
        )
        return Result(
            path=self.out,
            size_bytes=self._put(card, proof.cases),
            source_bytes=self.request.source.stat().st_size,
            target=self.target.name,
            precision=card.precision,
            agreement=built.agreement,
            floor=built.floor,
            measured_on=plan.held_out.described,
            notices=tuple(self.notices),
            skipped_samples=len(plan.held_out.skipped),
            card=card,
            accuracy=built.accuracy,
        )

    def _put(self, card: ModelCard, golden: list[GoldenCase]) -> int:
        """Write beside, test, rename. Returns the file's size in bytes."""
        partial = self.out.with_name(f".{self.out.name}.partial")
        try:
            write_model(partial, self.network, card=card, golden=golden)
            self.network = b""
            _self_test(partial, self.target.runtimes[0])
            size = partial.stat().st_size
            partial.replace(self.out)
        except (OSError, ModelFileError) as error:
            reason = error if isinstance(error, OSError) else error.__cause__
            if not isinstance(reason, OSError):
                raise
            raise ConversionError(f"--out {self.out}: cannot be written: {reason.strerror}") from error
        finally:
            partial.unlink(missing_ok=True)
        return size


def _self_test(path: Path, runtime: str) -> None:
    """The file as a device will meet it: loaded by the SDK, asked its own golden cases."""
    import edgewise

    with edgewise.load(path, backend=runtime) as model:
        outcome = model.self_test()
    if not outcome.passed:
        raise VerificationFailed(f"the written file does not repeat its own golden cases: {outcome}")
