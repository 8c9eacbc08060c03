"""How a model is read: what `Model.predict` is given to its inputs, and its outputs to an answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from edgewise.audio_card import AudioPreprocess
from edgewise.errors import CardError, InvalidInput
from edgewise.model_card import (
    ANOMALY_DETECTION,
    AUDIO_CLASSIFICATION,
    TENSORS,
    TEXT_EMBEDDING,
    TIME_SERIES_CLASSIFICATION,
    ImagePreprocess,
)
from edgewise.model_file import ModelFile
from edgewise.preprocess.image import ImageReader
from edgewise.preprocess.picture import ImageSource, is_readable_again
from edgewise.series_card import SeriesPreprocess
from edgewise.tasks.base import Options, Setup, Task
from edgewise.tasks.choice import check_task, guess_task, open_task, says_nothing
from edgewise.tasks.classification import Classifier
from edgewise.tasks.heads.base import Facts
from edgewise.tasks.image_input import image_reader_for
from edgewise.tasks.timings import Stopwatch
from edgewise.tensors import Array
from edgewise.text_card import TextPreprocess

if TYPE_CHECKING:
    from edgewise.opened import OpenedModel

Preprocess: TypeAlias = ImagePreprocess | AudioPreprocess | SeriesPreprocess | TextPreprocess


@dataclass(frozen=True)
class Asked:
    """What the app says of a model, which wins over what the file says."""

    preprocess: Preprocess | None
    labels: Sequence[str] | None
    options: Options

    def labels_of(self, file: ModelFile) -> tuple[str, ...]:
        """By output index, or by class: those given, else the file's."""
        return file.labels if self.labels is None else tuple(self.labels)


class Reading(Protocol):
    """What `Model.predict` needs of one opened file. It holds no reference to it."""

    @property
    def guessed_task(self) -> str:
        """Its name, where neither the app nor the file says it."""

    def predict(self, opened: "OpenedModel", given: Any, *, top: int | None, rate_hz: int | None) -> Any:
        """The typed answer. Raises InvalidInput, and CardError for outputs that the task cannot read."""


@dataclass(frozen=True)
class ImageReading:
    """A picture to an answer."""

    reader: ImageReader
    task: Task
    guessed_task: str = ""

    def predict(
        self, opened: "OpenedModel", given: ImageSource, *, top: int | None, rate_hz: int | None
    ) -> Any:
        """See `Reading.predict`."""
        watch = Stopwatch()
        prepared = self.reader.prepare(given)
        watch.lap()
        outputs = opened.run(prepared.tensor)
        watch.lap()
        if prepared.is_reduced and self._is_near_tie(outputs) and is_readable_again(given):
            prepared = self.reader.prepare(given, whole=True)
            watch.lap()
            outputs = opened.run(prepared.tensor)
            watch.lap()
        return self.task.answer(outputs, prepared.view, top=top, watch=watch)

    def _is_near_tie(self, outputs: Mapping[str, Array]) -> bool:
        return isinstance(self.task, Classifier) and self.task.is_near_tie(outputs)


def open_reading(opened: "OpenedModel", asked: Asked) -> Reading:
    """Find out. Raises CardError for an unknown task, or one that the file says too little for."""
    name = asked.options.task or opened.file.task
    is_told = asked.preprocess is not None or opened.file.card is None
    if says_nothing(name) and is_told and asked.options.task is None:
        name = ""  # pictures are described, so it may be guessed
    else:
        check_task(opened.file.path, name)
    try:
        found = _open_other(name, opened, asked)
    except CardError as error:
        raise CardError(f"{opened.file.path}: {error}") from error
    return found or _open_image(name, opened, asked)


def _open_other(name: str, opened: "OpenedModel", asked: Asked) -> Reading | None:
    """For what is no picture. Imported when it is asked for: most apps have one task."""
    labels, preprocess = asked.labels_of(opened.file), asked.preprocess
    if name == TENSORS:
        from edgewise.tasks.tensors import TensorReading

        return TensorReading()
    if name == AUDIO_CLASSIFICATION:
        from edgewise.tasks.sound_reading import open_sound

        return open_sound(opened, _of_kind(preprocess, AudioPreprocess), labels)
    if name == TIME_SERIES_CLASSIFICATION:
        from edgewise.tasks.series_classification import open_series

        return open_series(opened, _of_kind(preprocess, SeriesPreprocess), labels)
    if name == ANOMALY_DETECTION:
        from edgewise.tasks.anomaly_reading import open_anomaly

        return open_anomaly(opened, asked)
    if name == TEXT_EMBEDDING:
        from edgewise.tasks.text_embedding import open_text

        tokenizer = asked.options.tokenizer
        return open_text(opened, _of_kind(preprocess, TextPreprocess), Path(tokenizer) if tokenizer else None)
    return None


def _of_kind(preprocess: Preprocess | None, kind: type[Any]) -> Any:
    """Raises CardError for pre-processing of another task."""
    if preprocess is not None and not isinstance(preprocess, kind):
        raise CardError(
            f"preprocess: got {type(preprocess).__name__}, expected {kind.__name__} for this task"
        )
    return preprocess


def _open_image(name: str, opened: "OpenedModel", asked: Asked) -> ImageReading:
    file, card = opened.file, opened.file.card
    reader = image_reader_for(
        file, opened.inputs, _of_kind(asked.preprocess, ImagePreprocess), threads=opened.reading_threads
    )
    size_wh, labels = reader.spec.size_wh, asked.labels_of(file)
    guessed = ""
    if not name:
        shapes = tuple(spec.shape for spec in opened.outputs)
        name = guessed = guess_task(shapes, Facts(size_wh, labels))
    activation = card.outputs[0].activation if card else ""
    detection, pose = (card.detection, card.pose) if card else (None, None)
    setup = Setup(file.path, size_wh, opened.outputs, activation, labels, detection, asked.options, pose)
    return ImageReading(reader, open_task(name, setup), guessed)


def image_reader_of(reading: Reading) -> ImageReader:
    """Raises InvalidInput where what is read is no picture."""
    if not isinstance(reading, ImageReading):
        raise InvalidInput("this model's input is no picture; make its tensors yourself, and call run()")
    return reading.reader


def warm_up_reading(opened: "OpenedModel", reading: Reading) -> None:
    """Predict a black picture, so that what pre-processing and the answer need is there. Other inputs need little."""
    if isinstance(reading, ImageReading):
        width, height = reading.reader.spec.size_wh
        reading.predict(opened, np.zeros((height, width, 3), np.uint8), top=None, rate_hz=None)
