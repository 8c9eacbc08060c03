"""Two models one after the other: what the first finds in a picture is cut out and given to the second."""

import os
from collections.abc import AsyncIterator, Collection, Iterator
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

from PIL import Image

from edgewise.errors import InvalidInput
from edgewise.model import Model
from edgewise.model_card import OBJECT_DETECTION
from edgewise.preprocess.picture import ImageSource, upright
from edgewise.tasks.base import Answer
from edgewise.tasks.detection import Detection, Detections
from edgewise.tasks.drawing import Mark, colour_of, draw_marks

if TYPE_CHECKING:
    from edgewise.streams.choice import AnySource, What
    from edgewise.streams.frame import Block, Frame, SensorBlock
    from edgewise.streams.running import Stream, StreamResult

MAX_CROPS = 20
"""Of one picture, unless asked for more: each is another run of the second model."""


@dataclass(frozen=True, eq=False)
class Found:
    """One object, and what the second model says of it."""

    detection: Detection
    answer: Any
    """Of the second model's task: a Classification, an Embedding, Poses ..."""
    crop_xyxy: tuple[int, int, int, int]
    """What was cut out, in pixels of the upright picture."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        answer = self.answer.to_dict()
        return {"detection": self.detection.to_dict(), "crop_xyxy": list(self.crop_xyxy), "answer": answer}


@dataclass(frozen=True)
class PipelineTimings:
    """Where the time of one picture went, in milliseconds."""

    detect_ms: float
    crop_ms: float
    """Decoding the picture in full, where the detector did with less, and cutting out."""
    answer_ms: float
    """All runs of the second model."""

    @property
    def total_ms(self) -> float:
        """All of it."""
        return self.detect_ms + self.crop_ms + self.answer_ms


@dataclass(frozen=True, eq=False)
class PipelineAnswer:
    """What is where in one picture, and what each of it is; iterating gives a `Found` each, best detection first."""

    found: tuple[Found, ...]
    detections: Detections
    """All of the first model's, those that were not cut out too."""
    timings: PipelineTimings

    def __len__(self) -> int:
        return len(self.found)

    def __iter__(self) -> Iterator[Found]:
        return iter(self.found)

    def __getitem__(self, index: int) -> Found:
        return self.found[index]

    @property
    def latency_ms(self) -> float:
        """From the picture to the answer."""
        return self.timings.total_ms

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "found": [one.to_dict() for one in self.found],
            "picture_wh": list(self.detections.picture_wh),
            "detections": len(self.detections),
            "timings": asdict(self.timings),
        }

    def lines(self) -> list[str]:
        """For a person: each object, and below it the answer."""
        lines = []
        for one in self.found:
            answer: Answer = one.answer
            lines += [str(one.detection), *(f"  {line}" for line in answer.lines())]
        return lines or ["nothing found"]

    def draw(self, image: ImageSource) -> Image.Image:
        """A copy of ``image``, upright, with boxes and the first line of each answer. Raises UnreadableImage."""
        picture = upright(image)
        if picture.size != self.detections.picture_wh:
            raise InvalidInput(
                f"draw: got a picture of {picture.size}, expected the one that was looked at, "
                f"{self.detections.picture_wh}"
            )
        marks = [
            Mark(
                one.detection.box_xyxy,
                " ".join(_first_line(one.answer).split()),
                colour_of(one.detection.class_id),
            )
            for one in self.found
        ]
        draw_marks(picture, marks[::-1])  # the best on top
        return picture


class Pipeline:
    """A detector, and a second model for what it finds. Both stay the app's: close them when done.

    Load both with one `ThreadBudget`, so that they, and other models of the process, share its cores.
    """

    def __init__(
        self,
        detector: Model,
        model: Model,
        *,
        labels: Collection[str] = (),
        margin: float = 0.0,
        min_side: int = 1,
        limit: int = MAX_CROPS,
    ) -> None:
        """``labels`` are those of the detector that count, by default all; the ``limit`` best are cut out.

        ``margin`` widens each box on every side by this share of its longer side; boxes with a side below
        ``min_side`` pixels are left out. Raises InvalidInput, also for a detector of another task.
        """
        if detector.task not in ("", OBJECT_DETECTION):
            raise InvalidInput(
                f"{detector.path}: its task is '{detector.task}', expected '{OBJECT_DETECTION}'"
            )
        if not 0 <= margin <= 1 or min_side < 1 or limit < 1:
            raise InvalidInput(
                f"pipeline: got margin {margin}, min_side {min_side} and limit {limit}, expected 0 to 1, at least "
                "1 and at least 1"
            )
        unknown = sorted(set(labels) - set(detector.labels))
        if unknown:
            raise InvalidInput(
                f"labels: got {', '.join(map(repr, unknown))}, expected some of {', '.join(map(repr, detector.labels))}"
            )
        self.detector, self.model = detector, model
        self._labels, self._margin, self._min_side, self._limit = frozenset(labels), margin, min_side, limit

    def predict(self, given: ImageSource, *, top: int | None = None) -> PipelineAnswer:
        """What is where in a picture and what each of it is. ``top`` is the second model's.

        Raises what `Model.predict` raises.
        """
        began = perf_counter()
        is_file = isinstance(given, str | os.PathLike)
        whole = None if is_file else upright(given)
        detections = self.detector.predict(given if whole is None else whole)
        if not isinstance(detections, Detections):
            raise InvalidInput(
                f"{self.detector.path}: it answers with {type(detections).__name__}, expected Detections; give "
                f"load() task='{OBJECT_DETECTION}'"
            )
        detected = perf_counter()
        wanted = self._wanted(detections)
        crops: list[Image.Image] = []
        if wanted:
            whole = upright(given) if whole is None else whole
            crops = [whole.crop(box) for _, box in wanted]
        cut = perf_counter()
        answers = list(self.model.predict_many(crops, top=top))
        found = tuple(Found(one, answer, box) for (one, box), answer in zip(wanted, answers, strict=True))
        timings = PipelineTimings(
            (detected - began) * 1000, (cut - detected) * 1000, (perf_counter() - cut) * 1000
        )
        return PipelineAnswer(found, detections, timings)

    def stream(
        self, source: "What | AnySource", *, live: bool | None = None, top: int | None = None
    ) -> "Stream":
        """An answer for each frame of a source of pictures, as `Model.stream` gives them."""
        from edgewise.streams.running import stream_of

        return stream_of(_Answering(self, top), source, live=live)

    def astream(
        self, source: "What | AnySource", *, live: bool | None = None, top: int | None = None
    ) -> "AsyncIterator[StreamResult]":
        """`stream` for asyncio."""
        from edgewise.streams.aio import results_of

        return results_of(self.stream(source, live=live, top=top))

    def _wanted(self, detections: Detections) -> list[tuple[Detection, tuple[int, int, int, int]]]:
        wanted = []
        for one in detections:
            if self._labels and one.label not in self._labels:
                continue
            box = self._crop_box(one, detections.picture_wh)
            if min(box[2] - box[0], box[3] - box[1]) >= self._min_side:
                wanted.append((one, box))
        return wanted[: self._limit]

    def _crop_box(self, one: Detection, picture_wh: tuple[int, int]) -> tuple[int, int, int, int]:
        """Whole pixels, with the margin, inside the picture."""
        left, top, right, bottom = one.box_xyxy
        more = self._margin * max(right - left, bottom - top)
        width, height = picture_wh
        return (
            max(round(left - more), 0),
            max(round(top - more), 0),
            min(round(right + more), width),
            min(round(bottom + more), height),
        )

    def __repr__(self) -> str:
        return f"<Pipeline {self.detector.name!r} -> {self.model.name!r}>"


class _Answering:
    """A pipeline's side of a stream."""

    block_samples = 1

    def __init__(self, pipeline: Pipeline, top: int | None) -> None:
        self._pipeline, self._top = pipeline, top

    def answers(self, item: "Frame | Block | SensorBlock") -> Iterator[PipelineAnswer]:
        """One for a picture. Raises InvalidInput for sound and measurements."""
        image = getattr(item, "image", None)
        if image is None:
            raise InvalidInput(f"{item.source}: a pipeline takes pictures, got {type(item).__name__}")
        yield self._pipeline.predict(image, top=self._top)


def _first_line(answer: Any) -> str:
    lines: list[str] = answer.lines()
    return lines[0] if lines else ""
