"""The model the agent runs, through the SDK."""

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import edgewise
from edgewise.model_card import IMAGE_CLASSIFICATION
from edgewise.tasks.classification import ScoreReader
from edgewise.tasks.timings import Stopwatch
from edgewise_agent.drift import Observation, Observer, Reference, reference_of
from edgewise_agent.errors import ModelUnfit
from edgewise_messages import ModelInfo

log = logging.getLogger("edgewise.agent.model")


@dataclass(frozen=True)
class Prediction:
    """The first answer to one input, and what it cost."""

    label: str
    score: float
    latency_ms: float
    """From the file to the answer."""
    invoke_ms: float | None = None
    """In the runtime alone, where the SDK tells."""
    read_ms: float | None = None
    """To read and prepare the input."""
    decode_ms: float | None = None
    """To make the answer of the outputs."""
    pixels: int | None = None
    """Of the picture as it came."""
    observation: Observation | None = None
    """For the drift monitor, where the card has a baseline."""

    @property
    def confidence(self) -> float | None:
        """The score where it can be a probability; a foreign file may give raw scores."""
        return self.score if 0.0 <= self.score <= 1.0 else None


class Runner(Protocol):
    """What the loop asks of a model."""

    def predict(self, path: Path) -> Prediction:
        """Raises edgewise.EdgewiseError or OSError for an input that cannot be read or run."""

    def info(self) -> ModelInfo:
        """Which model this is."""

    def close(self) -> None:
        """Let go of it."""


class ModelRunner:
    """A Runner on a model file."""

    def __init__(self, path: Path, *, observes: bool = True) -> None:
        """Load the model and let it pass its own proof. Raises edgewise.EdgewiseError or ModelUnfit.

        ``observes`` says whether predictions carry an observation, where the card has a baseline.
        """
        self._model = edgewise.load(path)
        try:
            self._check_pictures(path)
            self._reader = self._model.image_reader()
            self._scores = self._score_reader()
            self._observer = self._make_observer() if observes else None
            self._prove(path)
            self._sha256 = self._model.file.sha256()
        except BaseException:
            self._model.close()
            raise

    def predict(self, path: Path) -> Prediction:
        """Read the image, run the model."""
        watch = Stopwatch()
        prepared = self._reader.prepare(path)
        tensor = prepared.tensor
        watch.lap()
        outputs = self._model.run(tensor)
        watch.lap()
        scores = self._scores.scores(outputs[self._model.outputs[0].name])
        top = self._scores.best(scores, 1)[0]
        timings = watch.timings()
        return Prediction(
            label=top.label or str(top.index),
            score=top.score,
            latency_ms=timings.total_ms,
            invoke_ms=timings.invoke_ms,
            read_ms=timings.preprocess_ms,
            decode_ms=timings.postprocess_ms,
            pixels=math.prod(prepared.view.picture_wh),
            observation=self._observer.observe(tensor, scores) if self._observer else None,
        )

    def drift_reference(self) -> Reference | str:
        """What to compare inputs and answers with, or why there is nothing."""
        card = self._model.card
        return reference_of(card.drift if card else None, self._model.labels)

    def info(self) -> ModelInfo:
        """Name, digest and what the card says."""
        card = self._model.card
        return ModelInfo(
            name=self._model.name,
            sha256=self._sha256,
            task=card.task if card else "",
            precision=card.precision if card else "",
            target=card.target if card else "",
            backend=self._model.backend_name,
        )

    def close(self) -> None:
        """Let go of the runtime."""
        self._model.close()

    def _score_reader(self) -> ScoreReader:
        card = self._model.card
        activation = card.outputs[0].activation if card else ""
        return ScoreReader(self._model.outputs[0], labels=self._model.labels, activation=activation)

    def _make_observer(self) -> Observer | None:
        reference = self.drift_reference()
        if isinstance(reference, str):
            return None
        return Observer(
            self._reader.spec, self._model.inputs[0], measures_pictures=reference.measures_pictures
        )

    def _check_pictures(self, path: Path) -> None:
        """A model that says too little about its pictures is refused now, not at every image."""
        try:
            self._model.image_reader()
        except (edgewise.CardError, edgewise.InvalidInput) as error:
            raise ModelUnfit(
                f"model {path}: it cannot be asked about pictures ({error}); "
                "convert it again with --preprocess and, if need be, --task image-classification"
            ) from error
        if self._model.task != IMAGE_CLASSIFICATION:
            raise ModelUnfit(
                f"model {path}: its task is '{self._model.task}'; the agent reports '{IMAGE_CLASSIFICATION}' only"
            )

    def _prove(self, path: Path) -> None:
        card = self._model.card
        if card is None or card.golden is None:
            log.info("%s carries no golden cases; it runs unproven", path.name)
            return
        result = self._model.self_test()
        if not result.passed:
            raise ModelUnfit(f"model {path}: it does not give its promised answers on this device ({result})")
        log.info("%s: self-test %s", path.name, result)
