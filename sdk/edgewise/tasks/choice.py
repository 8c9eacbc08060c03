"""Which task reads a model's outputs."""

from collections.abc import Callable, Mapping
from pathlib import Path

from edgewise.errors import CardError
from edgewise.model_card import (
    ANOMALY_DETECTION,
    AUDIO_CLASSIFICATION,
    IMAGE_CLASSIFICATION,
    IMAGE_EMBEDDING,
    IMAGE_SEGMENTATION,
    OBJECT_DETECTION,
    POSE_ESTIMATION,
    TENSORS,
    TEXT_EMBEDDING,
    TIME_SERIES_CLASSIFICATION,
)
from edgewise.tasks.base import Setup, Task
from edgewise.tasks.classification import Classifier
from edgewise.tasks.heads.base import Facts

# Imported when they are asked for: most apps have one task.


def _detector(setup: Setup) -> Task:
    from edgewise.tasks.detection import Detector

    return Detector(setup)


def _segmenter(setup: Setup) -> Task:
    from edgewise.tasks.segmentation import Segmenter

    return Segmenter(setup)


def _embedder(setup: Setup) -> Task:
    from edgewise.tasks.embedding import Embedder

    return Embedder(setup)


def _pose_estimator(setup: Setup) -> Task:
    from edgewise.tasks.pose import PoseEstimator

    return PoseEstimator(setup)


TASKS: Mapping[str, Callable[[Setup], Task]] = {
    IMAGE_CLASSIFICATION: Classifier,
    OBJECT_DETECTION: _detector,
    IMAGE_SEGMENTATION: _segmenter,
    IMAGE_EMBEDDING: _embedder,
    POSE_ESTIMATION: _pose_estimator,
}
"""Of pictures."""
OTHERS = (AUDIO_CLASSIFICATION, TIME_SERIES_CLASSIFICATION, ANOMALY_DETECTION, TEXT_EMBEDDING, TENSORS)
"""What reading.py opens: tasks of sound, series, text and plain arrays, and those of several kinds of input."""


def check_task(path: Path, task: str) -> None:
    """Raise CardError naming the tasks when there is none of this name."""
    if task not in TASKS and task not in OTHERS:
        names = ", ".join(map(repr, (*TASKS, *OTHERS)))
        said = f"its task is '{task}'" if task else "the file does not say its task"
        raise CardError(f"{path}: {said}, predict() knows {names}; give load() task=..., or use run()")


def open_task(task: str, setup: Setup) -> Task:
    """The reader of this task. Raises CardError for an unknown task, or one that the file says too little for."""
    check_task(setup.path, task)
    try:
        return TASKS[task](setup)
    except CardError as error:
        raise CardError(f"{setup.path}: {error}") from error


def guess_task(shapes: tuple[tuple[int, ...], ...], facts: Facts) -> str:
    """The task that these outputs can only mean, or "": one row of scores, or a detection head by its shapes."""
    if len(shapes) == 1 and shapes[0] and all(size in (1, -1) for size in shapes[0][:-1]):
        return IMAGE_CLASSIFICATION
    from edgewise.tasks.heads.choice import guess_head

    return OBJECT_DETECTION if guess_head(shapes, facts) else ""


def says_nothing(task: str) -> bool:
    """Whether a card of this task leaves to the caller what the outputs are."""
    return task in ("", TENSORS)
