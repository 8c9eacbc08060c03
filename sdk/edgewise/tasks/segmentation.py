"""Which class every pixel belongs to (semantic segmentation)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image

from edgewise.errors import CardError, InvalidInput
from edgewise.preprocess.geometry import View
from edgewise.preprocess.picture import ImageSource, upright
from edgewise.tasks.base import Setup, label_of, real_outputs
from edgewise.tasks.class_map import UNSEEN, bilinear_classes, decode_runs, encode_runs, nearest
from edgewise.tasks.drawing import tint
from edgewise.tasks.timings import Stopwatch, Timings
from edgewise.tensors import Array, FloatArray

__all__ = ["UNSEEN", "ClassArea", "Segmentation", "Segmenter", "decode_runs", "encode_runs"]


@dataclass(frozen=True)
class ClassArea:
    """How much of the picture one class covers."""

    class_id: int
    label: str
    pixels: int
    share: float
    """Of the whole picture, 0 to 1."""

    def __str__(self) -> str:
        return f"{self.share:6.1%}  {self.label or f'#{self.class_id}'}"


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The class of every pixel of one picture."""

    class_map: Array
    """int16 [height, width] of the upright original picture; -1 where the model did not look (outside a crop)."""
    labels: tuple[str, ...]
    """By class id."""
    timings: Timings

    @property
    def picture_wh(self) -> tuple[int, int]:
        """The picture's size."""
        return self.class_map.shape[1], self.class_map.shape[0]

    @property
    def latency_ms(self) -> float:
        """From the picture to the answer."""
        return self.timings.total_ms

    @cached_property
    def areas(self) -> tuple[ClassArea, ...]:
        """The classes that occur, largest first; what the model did not look at is in none of them."""
        ids, counts = np.unique(self.class_map, return_counts=True)
        found = [
            ClassArea(index, label_of(self.labels, index), pixels, pixels / self.class_map.size)
            for index, pixels in zip(ids.tolist(), counts.tolist(), strict=True)
            if index != UNSEEN
        ]
        return tuple(sorted(found, key=lambda area: -area.pixels))

    def to_dict(self) -> dict[str, Any]:
        """For JSON: ``runs`` are [class id, length] pairs row by row; `decode_runs` makes them a map again."""
        return {
            "picture_wh": list(self.picture_wh),
            "areas": [asdict(area) for area in self.areas],
            "runs": encode_runs(self.class_map),
            "timings": asdict(self.timings),
        }

    def lines(self) -> list[str]:
        """One line for a person about each class."""
        return [str(area) for area in self.areas]

    def draw(self, image: ImageSource, *, share: float = 0.5, background: int | None = 0) -> Image.Image:
        """A copy of ``image``, upright, tinted by class; ``background`` is the class that stays as it is.

        ``share`` is how much of the colour, 0 to 1. Raises UnreadableImage, and InvalidInput for a picture
        of another size.
        """
        picture = upright(image)
        if picture.size != self.picture_wh:
            raise InvalidInput(
                f"draw: got a picture of {picture.size}, expected the one that was looked at, {self.picture_wh}"
            )
        if not 0 <= share <= 1:
            raise InvalidInput(f"draw: share: got {share}, expected 0 to 1")
        shown = [area.class_id for area in self.areas if area.class_id != background]
        return tint(picture, self.class_map, shown, share=share)

    def __str__(self) -> str:
        found = ", ".join(f"{area.label or f'#{area.class_id}'} {area.share:.0%}" for area in self.areas)
        return f"{found} ({self.latency_ms:.1f} ms)"

    def __repr__(self) -> str:
        return f"<Segmentation {self}>"


class Segmenter:
    """The task of telling the class of every pixel: from logits or probabilities, or from a class map.

    One output: [1, h, w, C] or [1, C, h, w]; C = 1 is foreground (1) against background (0), and needs the
    card's ``activation``; an integer output [1, h, w] or with C = 1 is the class map itself. Raises CardError
    for other outputs.
    """

    def __init__(self, setup: Setup) -> None:
        if len(setup.outputs) != 1 or len(setup.outputs[0].shape) not in (3, 4):
            shapes = ", ".join(str(list(spec.shape)) for spec in setup.outputs)
            raise CardError(
                f"image-segmentation: got outputs {shapes}, expected one of [1, h, w, classes], "
                "[1, classes, h, w] or [1, h, w]"
            )
        self._setup, self._output = setup, setup.outputs[0]
        self._is_smooth = setup.options.mask_resample == "bilinear"

    def answer(
        self, outputs: Mapping[str, Array], view: View, *, top: int | None, watch: Stopwatch
    ) -> Segmentation:
        """See `Task.answer`; ``top`` says nothing here."""
        (real,) = real_outputs(outputs, [self._output])
        if self._is_class_map(real):
            if self._is_smooth:
                raise CardError(
                    f"output '{self._output.name}': mask_resample='bilinear' needs logits, the model gives "
                    "class ids; use 'nearest'"
                )
            class_map = nearest(np.rint(real).astype(np.int16).reshape(self._plane(real)), view)
        else:
            scores = self._with_background(self._channels_last(real))
            if self._is_smooth:
                class_map = bilinear_classes(scores, view)
            else:
                class_map = nearest(scores.argmax(axis=2).astype(np.int16), view)
        return Segmentation(class_map, self._setup.labels, watch.timings())

    def _is_class_map(self, real: FloatArray) -> bool:
        is_integer = np.dtype(self._output.dtype).kind in "iub" and self._output.quantization is None
        return real.ndim == 3 or (is_integer and 1 in (real.shape[1], real.shape[3]))

    @staticmethod
    def _plane(real: FloatArray) -> tuple[int, int]:
        if real.ndim == 3 or real.shape[3] == 1:
            return real.shape[1], real.shape[2]
        return real.shape[2], real.shape[3]

    def _channels_last(self, real: FloatArray) -> FloatArray:
        """[h, w, C]: by the card's layout, else by the labels, else by the shape of the input."""
        if self._output.layout:
            is_last = self._output.layout == "nhwc"
        else:
            width, height = self._setup.input_wh
            count = len(self._setup.labels)
            first, last = real.shape[1], real.shape[3]
            may_be_last = last == count if count else real.shape[1] * width == real.shape[2] * height
            may_be_first = first == count if count else real.shape[2] * width == real.shape[3] * height
            if may_be_last == may_be_first:
                raise CardError(
                    f"output '{self._output.name}': got {list(real.shape)}, which may be [1, h, w, classes] or "
                    "[1, classes, h, w]; give load() labels=..., or the card the output's layout"
                )
            is_last = may_be_last
        plane: FloatArray = real[0]
        return plane if is_last else plane.transpose(1, 2, 0)

    def _with_background(self, scores: FloatArray) -> FloatArray:
        """Two classes where the network gives only the foreground's score."""
        if scores.shape[2] > 1:
            return scores
        even = {"logits": 0.0, "probabilities": 0.5}.get(self._setup.activation)
        if even is None:
            raise CardError(
                f"output '{self._output.name}': one channel is the foreground's logits or probabilities; "
                "the card's activation must say which"
            )
        return np.concatenate([np.full_like(scores, even), scores], axis=2)
