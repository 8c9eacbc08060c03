"""What goes on in a series of measurements: a recording by `Model.predict`, a stream by `SeriesClassifier`."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgewise.errors import CardError
from edgewise.preprocess.samples import Samples
from edgewise.preprocess.series import SeriesWindower, to_tensor, windows_of
from edgewise.series_card import SeriesPreprocess
from edgewise.tasks.classification import TOP, Classification, ScoreReader
from edgewise.tasks.smoothing import EventGate, ScoreSmoother
from edgewise.tasks.window_timer import WindowTimer
from edgewise.tensors import FloatArray, TensorSpec

if TYPE_CHECKING:
    from edgewise.model import Model
    from edgewise.opened import OpenedModel

_WHAT = "series classification"


def series_of(
    opened: "OpenedModel | Model", preprocess: SeriesPreprocess | None, inputs: tuple[TensorSpec, ...]
) -> SeriesPreprocess:
    """How windows are made: as given, else by the card. Raises CardError when nobody says it, or it does not fit."""
    card = opened.file.card
    spec = preprocess or (card.inputs[0].series if card else None)
    if spec is None:
        raise CardError(
            "the file does not say how a series becomes its input (rate, window, channels); give load() "
            "preprocess=SeriesPreprocess(...), or use run()"
        )
    if len(inputs) != 1:
        raise CardError(f"got {len(inputs)} inputs, expected one series; use run()")
    if not inputs[0].accepts(spec.shape):
        raise CardError(
            f"input '{inputs[0].name}' is {inputs[0].shape}, the series' windows are {spec.shape}; "
            "check window, channels and layout"
        )
    return spec


@dataclass(frozen=True)
class SeriesReading:
    """The mean of the windows' scores; one window where the series is one."""

    spec: SeriesPreprocess
    scores: ScoreReader
    guessed_task: str = ""

    def predict(
        self, opened: "OpenedModel", given: Any, *, top: int | None, rate_hz: int | None
    ) -> Classification:
        """``given`` is numbers [time, channels], as measured, at the card's rate."""
        timer = WindowTimer()
        rows = []
        for window in windows_of(given, self.spec):
            outputs = timer.run(opened, to_tensor(window, self.spec))
            rows.append(self.scores.scores(outputs[opened.outputs[0].name]))
        mean = rows[0] if len(rows) == 1 else np.mean(rows, axis=0, dtype=np.float32)
        return Classification(self.scores.best(mean, TOP if top is None else top), timer.timings())


def open_series(
    opened: "OpenedModel", preprocess: SeriesPreprocess | None, labels: tuple[str, ...]
) -> SeriesReading:
    """Raises CardError where the file says too little."""
    card = opened.file.card
    activation = card.outputs[0].activation if card else ""
    scores = ScoreReader(opened.outputs[0], labels=labels, activation=activation)
    return SeriesReading(series_of(opened, preprocess, opened.inputs), scores)


@dataclass(frozen=True)
class SeriesAnswer:
    """What goes on in one window of a stream."""

    index: int
    label: str
    score: float
    """Mean of the smoothed windows."""
    start_s: float
    """Since the beginning of the stream, where this window begins."""
    end_s: float
    is_event: bool
    """Whether it begins here: the first window of this class at or above the threshold, see `EventGate`."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class SeriesClassifier:
    """Slides over one stream and answers each window; its memory does not grow. The model stays the caller's.

    Scores are averaged over the last ``smooth`` windows; ``threshold`` and ``refractory_s`` say which answers are
    events, as in `KeywordSpotter`. ``stride`` and ``preprocess`` win over the card's.
    """

    def __init__(
        self,
        model: "Model",
        *,
        preprocess: SeriesPreprocess | None = None,
        stride: int | None = None,
        smooth: int = 3,
        threshold: float = 0.6,
        refractory_s: float = 0.0,
    ) -> None:
        """Raises CardError for a model of other inputs and numbers out of range."""
        try:
            self.spec = series_of(model, preprocess or model.series_preprocess, model.inputs)
        except CardError as error:
            raise CardError(f"{model.path}: {error}") from error
        activation = model.card.outputs[0].activation if model.card else ""
        self._scores = ScoreReader(model.outputs[0], labels=model.labels, activation=activation)
        self._model, self._labels = model, model.labels
        self._windower = SeriesWindower(self.spec, stride=stride)
        self._smoother = ScoreSmoother(smooth, what=_WHAT)
        self._gate = EventGate(threshold, refractory_s, what=_WHAT)
        self.reset()

    def reset(self) -> None:
        """Begin another stream at 0 s."""
        self._windower.reset()
        self._smoother.reset()
        self._gate.reset()

    def push(self, samples: Any) -> list[SeriesAnswer]:
        """One answer for each window that these rows complete, [time, channels] of any length.

        Raises InvalidInput; after one about the samples the stream is as it was.
        """
        return [self._answer(window, self._windower.windows) for window in self._windower.push(samples)]

    def flush(self) -> list[SeriesAnswer]:
        """The answer of the window that the end leaves incomplete, where the card says how to fill it; then `reset`."""
        found = [self._answer(window, self._windower.windows) for window in self._windower.flush()]
        self.reset()
        return found

    def _answer(self, window: FloatArray, number: int) -> SeriesAnswer:
        outputs = self._model.run(to_tensor(window, self.spec))
        row = self._scores.scores(outputs[self._model.outputs[0].name])
        means: Samples = self._smoother.push(row.astype(np.float64))
        start_s = (number - 1) * self._windower.stride / self.spec.rate_hz
        end_s = start_s + self.spec.window_s
        begun = self._gate.push(means, end_s)
        best = int(means.argmax())
        label = self._labels[best] if best < len(self._labels) else ""
        return SeriesAnswer(best, label, float(means[best]), start_s, end_s, begun is not None)
