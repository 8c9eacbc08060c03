"""How a model is read: pictures to its input, and its outputs to an answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgewise.model_card import ImagePreprocess
from edgewise.model_file import ModelFile
from edgewise.preprocess.image import ImageReader
from edgewise.tasks.base import Options, Setup, Task
from edgewise.tasks.choice import check_task, guess_task, open_task, says_nothing
from edgewise.tasks.heads.base import Facts
from edgewise.tasks.image_input import image_reader_for

if TYPE_CHECKING:
    from edgewise.opened import OpenedModel


@dataclass(frozen=True)
class Asked:
    """What the app says of a model, which wins over what the file says."""

    preprocess: ImagePreprocess | None
    labels: Sequence[str] | None
    options: Options

    def labels_of(self, file: ModelFile) -> tuple[str, ...]:
        """By output index, or by class: those given, else the file's."""
        return file.labels if self.labels is None else tuple(self.labels)


@dataclass(frozen=True)
class Reading:
    """What `Model.predict` needs of one opened file."""

    reader: ImageReader
    task: Task
    guessed_task: str = ""
    """Its name, where neither the app nor the file says it."""


def open_reading(opened: "OpenedModel", asked: Asked) -> Reading:
    """Find out. Raises CardError for an unknown task, or one that the file says too little for."""
    file, card = opened.file, opened.file.card
    name = asked.options.task or file.task
    is_told = asked.preprocess is not None or card is None
    if not (says_nothing(name) and is_told and asked.options.task is None):
        check_task(file.path, name)
    reader = image_reader_for(file, opened.inputs, asked.preprocess)
    size_wh, labels = reader.spec.size_wh, asked.labels_of(file)
    guessed = ""
    if says_nothing(name):
        shapes = tuple(spec.shape for spec in opened.outputs)
        name = guessed = guess_task(shapes, Facts(size_wh, labels))
    activation = card.outputs[0].activation if card else ""
    detection, pose = (card.detection, card.pose) if card else (None, None)
    setup = Setup(file.path, size_wh, opened.outputs, activation, labels, detection, asked.options, pose)
    return Reading(reader, open_task(name, setup), guessed)
