"""The model of one pipeline, through the SDK: opened, proven, asked, exchanged for another."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import edgewise
from edgewise.latency_promise import promise_on
from edgewise.model_card import IMAGE_CLASSIFICATION, IMAGE_EMBEDDING, TOP1_ACCURACY, TOP1_AGREEMENT
from edgewise.streams import Block, Frame, SensorBlock
from edgewise.streams.answering import Answering
from edgewise.streams.windows import Windows
from edgewise.tasks.classification import ScoreReader
from edgewise.tensors import Array
from edgewise.threads import ThreadBudget
from edgewise_agent.drift import Observation, Observer, Reference, reference_of
from edgewise_agent.drift.observation import CONFIDENCE
from edgewise_agent.errors import ModelUnfit
from edgewise_agent.memory import MODEL_CHANGES
from edgewise_agent.pipelines.settings import PipelineSettings
from edgewise_agent.pipelines.source_words import sends_pictures
from edgewise_messages import ModelInfo, Promise

TOP = 5
log = logging.getLogger("edgewise.agent.model")


class ModelSlot:
    """One model file at a time. Used on one thread; `info` and `close` from any."""

    def __init__(
        self, settings: PipelineSettings, path: Path | None = None, *, budget: ThreadBudget | None = None
    ) -> None:
        """Load the model and let it pass its own proof. Raises edgewise.EdgewiseError or ModelUnfit.

        ``path`` is another file than the settings name, such as an update's.
        """
        self._settings, self._budget = settings, budget
        self._is_abandoned = False
        self._open(path or settings.model)

    def _open(self, path: Path) -> None:
        with MODEL_CHANGES:
            self._open_alone(path)

    def _open_alone(self, path: Path) -> None:
        self.model = load_model(self._settings, path, budget=self._budget)
        try:
            prove(self.model)
            self._sha256 = self.model.file.sha256()
            self._answering = Answering(self.model, TOP, tap=self._see)
            self._observer = self._make_observer() if self._settings.drift.enabled else None
            self._seen: tuple[Array, Mapping[str, Array]] | None = None
        except BaseException:
            self.model.close()
            raise

    @property
    def block_samples(self) -> int:
        """How many samples of sound it wants at once."""
        return self._answering.block_samples

    def answers(self, item: Frame | Block | SensorBlock) -> Iterator[tuple[Any, Observation | None]]:
        """What it says of one input: one answer for a picture, one for each window that a block completes.

        With each what drift is judged by, where the card has a baseline. Raises edgewise.EdgewiseError or OSError.
        """
        for answer in self._answering.answers(item):
            yield answer, self._observe()

    @property
    def promise_ms(self) -> float | None:
        """The p95 latency that the card promises for this board, from the picture to the answer."""
        promise = promise_on(self.model.card)
        return promise.p95_ms if promise else None

    @property
    def observes(self) -> bool:
        """Whether answers come with what drift is judged by."""
        return self._observer is not None

    def begin_anew(self) -> None:
        """Forget windows and recurrent state: the source begins again."""
        self._answering = Answering(self.model, TOP, tap=self._see)

    def windows(self) -> Windows | None:
        """A copy of what is held of a stream that is cut into windows, for another model to go on from."""
        return self._answering.windows()

    def go_on_from(self, windows: Windows | None, item: Frame | Block | SensorBlock) -> bool:
        """Begin anew, cutting the stream as another model does; False where the two cut differently."""
        self.begin_anew()
        return self._answering.go_on_from(windows, item)

    @property
    def remembers(self) -> bool:
        """Whether an answer depends on the inputs before, by a state."""
        return self._answering.remembers

    def real(self, answer: Any) -> Any:
        """An answer of plain outputs in real numbers, by each tensor's quantization; other answers as they are."""
        if not isinstance(answer, Mapping):
            return answer
        return {
            spec.name: spec.dequantized(answer[spec.name])
            for spec in self.model.outputs
            if spec.name in answer
        }

    def exchange(self, path: Path) -> None:
        """Another model file in this one's place; on failure the old one stays. Raises as the constructor."""
        old = self.model
        try:
            self._open(path)
        except BaseException:
            self.model = old
            raise
        with MODEL_CHANGES:
            old.close()

    def drift_reference(self) -> Reference | str:
        """What to compare inputs and answers with, or why there is nothing."""
        card = self.model.card
        return reference_of(card.drift if card else None, self.model.labels)

    def info(self) -> ModelInfo:
        """Name, digest and what the card says."""
        card = self.model.card
        return ModelInfo(
            name=self.model.name,
            sha256=self._sha256,
            task=self.model.task,
            precision=card.precision if card else "",
            target=card.target if card else "",
            backend=self.model.backend_name,
            promise=self._promise() if card else None,
        )

    def _promise(self) -> Promise | None:
        card, reference = self.model.card, self.drift_reference()
        quality = card.quality if card else ()
        shares = {one.metric: one.value for one in quality if 0 <= one.value <= 1}
        scalars = reference.scalars if isinstance(reference, Reference) else ()
        means = {one.name: one.mean for one in scalars}
        confidence = means.get(CONFIDENCE)
        promise = Promise(
            accuracy=shares.get(TOP1_ACCURACY),
            agreement=shares.get(TOP1_AGREEMENT),
            confidence=None if confidence is None else round(confidence, 2),
            p95_ms=self.promise_ms,
        )
        return promise if promise != Promise() else None

    def abandon(self) -> None:
        """A thread is inside and does not come back: `close` would wait for it forever. It goes with the process."""
        self._is_abandoned = True

    def close(self) -> None:
        """Let go of the runtime."""
        if self._is_abandoned:
            return
        with MODEL_CHANGES:
            self.model.close()

    def _see(self, inputs: Mapping[str, Array] | Array, outputs: Mapping[str, Array]) -> None:
        """Keep the tensors until the answer is there: what observing takes is no latency of the model."""
        if self._observer is not None and isinstance(inputs, np.ndarray):
            self._seen = inputs, outputs

    def _observe(self) -> Observation | None:
        """What drift is judged by, of the last run; its input lies in a buffer that the next one overwrites."""
        seen, self._seen = self._seen, None
        if seen is None or self._observer is None:
            return None
        inputs, outputs = seen
        spec = self.model.outputs[0]
        answer = outputs[spec.name]
        scores = self._scores.scores(answer) if self._scores else None
        embedding = spec.dequantized(answer) if self.model.task == IMAGE_EMBEDDING else None
        return self._observer.observe(inputs, scores, embedding)

    def _make_observer(self) -> Observer | None:
        """Only of pictures: what a baseline says of series and sound is not compared yet."""
        reference = self.drift_reference()
        if isinstance(reference, str):
            return None
        try:
            image = self.model.image_reader().spec
        except (edgewise.CardError, edgewise.InvalidInput):
            return None
        card = self.model.card
        activation = card.outputs[0].activation if card else ""
        is_classifier = self.model.task == IMAGE_CLASSIFICATION
        self._scores = (
            ScoreReader(self.model.outputs[0], labels=self.model.labels, activation=activation)
            if is_classifier
            else None
        )
        return Observer(
            image,
            self.model.inputs[0],
            measures_pictures=reference.measures_pictures,
            direction=reference.direction,
        )


def load_model(
    settings: PipelineSettings, path: Path, *, budget: ThreadBudget | None = None
) -> edgewise.Model:
    """As the pipeline's settings say. Raises edgewise.EdgewiseError, or ModelUnfit for one that cannot be asked."""
    threads = settings.threads or budget
    labels = read_labels(settings.labels) if settings.labels else None
    model = edgewise.load(
        path,
        threads=threads,
        task=settings.task or None,
        head=settings.head or None,
        labels=labels,
        score_threshold=settings.score_threshold,
    )
    try:
        if sends_pictures(settings.source):
            _check_asked(model)
    except BaseException:
        model.close()
        raise
    return model


def _check_asked(model: edgewise.Model) -> None:
    """A model that says too little about its pictures or answers is refused now, not at every input.

    Sound and measurements may also be run as they are, see `edgewise.Model.stream`.
    """
    try:
        model.image_reader()
    except (edgewise.CardError, edgewise.InvalidInput) as error:
        raise ModelUnfit(
            f"model {model.path}: it cannot be asked about pictures ({error}); convert it again with --preprocess and, "
            "if need be, --task, or say task, labels or head in the pipeline's settings"
        ) from error


def prove(model: edgewise.Model) -> None:
    """Run the golden cases it carries. Raises ModelUnfit."""
    if model.card is None or model.card.golden is None:
        log.info("%s carries no golden cases; it runs unproven", model.path.name)
        return
    result = model.self_test()
    if not result.passed:
        raise ModelUnfit(
            f"model {model.path}: it does not give its promised answers on this device ({result})"
        )
    log.info("%s: self-test %s", model.path.name, result)


def read_labels(path: Path) -> tuple[str, ...]:
    """One a line. Raises ModelUnfit."""
    try:
        return tuple(path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise ModelUnfit(
            f"labels {path}: {getattr(error, 'strerror', None) or error}; expected one label a line"
        ) from error
