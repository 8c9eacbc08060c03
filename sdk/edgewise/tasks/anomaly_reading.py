"""`Model.predict` for anomalies in series and in pictures."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgewise.errors import CardError, InvalidInput
from edgewise.model_card import ImagePreprocess
from edgewise.preprocess.image import ImageReader
from edgewise.preprocess.series import as_series, to_tensor
from edgewise.series_card import SeriesPreprocess
from edgewise.tasks.anomaly import Anomaly, AnomalyScorer
from edgewise.tasks.base import real_outputs
from edgewise.tasks.image_input import image_reader_for, stated_preprocess
from edgewise.tasks.series_classification import series_of
from edgewise.tasks.timings import Stopwatch
from edgewise.tensors import Array

if TYPE_CHECKING:
    from edgewise.opened import OpenedModel
    from edgewise.tasks.reading import Asked


@dataclass(frozen=True)
class AnomalyReading:
    """One window of a series, or one picture."""

    scorer: AnomalyScorer
    series: SeriesPreprocess | None
    reader: ImageReader | None
    is_channels_last: bool
    """Of the input; the channels are those of the series or of the picture."""
    guessed_task: str = ""

    def predict(self, opened: "OpenedModel", given: Any, *, top: int | None, rate_hz: int | None) -> Anomaly:
        """``given`` is [window, channels] as measured, or what a picture may be."""
        watch = Stopwatch()
        tensor = self._tensor(given)
        watch.lap()
        outputs = opened.run(tensor)
        watch.lap()
        (real,) = real_outputs(outputs, opened.outputs)
        if self.scorer.card.is_reconstruction:
            want = opened.inputs[0].dequantized(tensor)
            score, parts = self.scorer.of_error(self._rows(want), self._rows(real))
        else:
            score, parts = self.scorer.of_vector(real.ravel())
        names = self.series.channels if self.series and self.scorer.card.is_reconstruction else ()
        return Anomaly(score, self.scorer.card.threshold, parts, names, watch.timings())

    def _tensor(self, given: Any) -> Array:
        if self.series is None:
            assert self.reader is not None  # open_anomaly made one of them
            return self.reader.read(given)
        window = as_series(given, self.series.channels)
        if len(window) != self.series.window:
            raise InvalidInput(
                f"series: got {len(window)} rows, expected a window of {self.series.window}; "
                "model.stream() and SeriesWindower cut longer ones"
            )
        return to_tensor(window, self.series)

    def _rows(self, tensor: Array) -> Array:
        """[everything else, channels]."""
        if tensor.ndim < 2:
            return tensor.reshape(-1, 1)
        turned = tensor if self.is_channels_last else np.moveaxis(tensor, 1, -1)
        return turned.reshape(-1, turned.shape[-1])


def open_anomaly(opened: "OpenedModel", asked: "Asked") -> AnomalyReading:
    """Raises CardError where nobody says what is normal, or how the input is made."""
    file, preprocess = opened.file, asked.preprocess
    card = asked.options.anomaly or (file.card.anomaly if file.card else None)
    if card is None:
        raise CardError(
            "the file does not say what is normal; give load() anomaly=AnomalyCard(...), see fit_threshold()"
        )
    if len(opened.outputs) != 1:
        raise CardError(f"anomaly-detection: got {len(opened.outputs)} outputs, expected one; use run()")
    scorer = AnomalyScorer(card)
    image = preprocess if isinstance(preprocess, ImagePreprocess) else None
    if image or (preprocess is None and stated_preprocess(file, opened.inputs[0]) is not None):
        return AnomalyReading(
            scorer,
            None,
            image_reader_for(file, opened.inputs, image, threads=opened.reading_threads),
            opened.inputs[0].layout != "nchw",
        )
    if preprocess is not None and not isinstance(preprocess, SeriesPreprocess):
        raise CardError(
            f"preprocess: got {type(preprocess).__name__}, expected SeriesPreprocess or ImagePreprocess"
        )
    series = series_of(opened, preprocess, opened.inputs)
    return AnomalyReading(scorer, series, None, series.layout == "time-channels")
