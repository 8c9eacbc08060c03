"""What a picture says: lines of text with where they are."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image

from edgewise.errors import InvalidInput
from edgewise.preprocess.picture import ImageSource, upright
from edgewise.tasks.drawing import Mark, colour_of, draw_marks
from edgewise.tasks.timings import Timings
from edgewise.tensors import Array, FloatArray

_SAME_ROW = 0.5
"""Lines whose middles are at most this share of the lower one's height apart stand in one row."""


@dataclass(frozen=True, eq=False)
class TextLine:
    """One line of text."""

    text: str
    score: float
    """The mean probability of its characters, 0 to 1."""
    quad_xy: FloatArray | None = None
    """float32 [4, 2]: left top, right top, right bottom, left bottom in pixels of the upright original picture, clipped
    to it; None when the whole picture was read as one line."""
    box_score: float | None = None
    """The detector's, 0 to 1."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        values: dict[str, Any] = {"text": self.text, "score": self.score}
        if self.quad_xy is not None:
            values["quad_xy"] = [[round(x, 2), round(y, 2)] for x, y in self.quad_xy.tolist()]
            values["box_score"] = self.box_score
        return values

    def __str__(self) -> str:
        if self.quad_xy is None:
            return f"{self.score:.3f}  {self.text}"
        x, y = self.quad_xy[0].tolist()
        return f"{self.score:.3f}  {self.text}  at {x:.0f},{y:.0f}"


@dataclass(frozen=True, eq=False)
class PageText:
    """The lines of one picture in reading order, as arrays; iterating gives each as a `TextLine`.

    Reading order is row by row from the top, within a row from the left: columns of a newspaper are not told apart.
    """

    quads_xy: FloatArray
    """float32 [n, 4, 2]: left top, right top, right bottom, left bottom of each line, as it is read, in pixels of the
    upright original picture, clipped to it."""
    texts: tuple[str, ...]
    scores: FloatArray
    """float32 [n]: the mean probability of each line's characters."""
    box_scores: FloatArray
    """float32 [n]: the detector's."""
    rows: Array
    """int64 [n]: lines beside each other have the same number."""
    picture_wh: tuple[int, int]
    timings: Timings

    def __len__(self) -> int:
        return len(self.texts)

    def __iter__(self) -> Iterator[TextLine]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, index: int) -> TextLine:
        return TextLine(
            self.texts[index],
            float(self.scores[index]),
            self.quads_xy[index],
            float(self.box_scores[index]),
        )

    @property
    def text(self) -> str:
        """All of it: a row of the picture is a line, what stands beside each other is parted by a space."""
        rows: dict[int, list[str]] = {}
        for row, text in zip(self.rows.tolist(), self.texts, strict=True):
            rows.setdefault(row, []).append(text)
        return "\n".join(" ".join(texts) for texts in rows.values())

    @property
    def latency_ms(self) -> float:
        """From the picture to the answer."""
        return self.timings.total_ms

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "text": self.text,
            "lines": [line.to_dict() for line in self],
            "picture_wh": list(self.picture_wh),
            "timings": asdict(self.timings),
        }

    def lines(self) -> list[str]:
        """One line for a person about each line."""
        return [*map(str, self)] or ["no text found"]

    def draw(self, image: ImageSource) -> Image.Image:
        """A copy of ``image``, upright, with outlines and texts. It should be the one that was looked at.

        Characters that Pillow's own font lacks, such as Chinese ones, show as boxes. Raises UnreadableImage, and
        InvalidInput for a picture of another size.
        """
        picture = upright(image)
        if picture.size != self.picture_wh:
            raise InvalidInput(
                f"draw: got a picture of {picture.size}, expected the one that was looked at, {self.picture_wh}"
            )
        marks = []
        for number, line in enumerate(self):
            quad = self.quads_xy[number]
            (left, top), (right, bottom) = quad.min(axis=0).tolist(), quad.max(axis=0).tolist()
            marks.append(Mark((left, top, right, bottom), line.text, colour_of(number), outline_xy=quad))
        draw_marks(picture, marks)
        return picture

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<PageText of {len(self)} lines ({self.latency_ms:.1f} ms)>"


def reading_order(quads_xy: FloatArray) -> tuple[Array, Array]:
    """The order in which lines [n, 4, 2] are read, and in that order the row, from 0, of each: both int64 [n].

    Along the lines of a page that lies slanting, and across them.
    """
    slant = _slant(quads_xy)
    turn = np.array([[np.cos(slant), -np.sin(slant)], [np.sin(slant), np.cos(slant)]])
    straight = quads_xy.astype(np.float64) @ turn
    low, high = straight.min(axis=1), straight.max(axis=1)
    middles, heights = (low[:, 1] + high[:, 1]) / 2, high[:, 1] - low[:, 1]
    rows: list[list[int]] = []
    for index in np.argsort(middles, kind="stable").tolist():
        first = rows[-1][0] if rows else -1
        reach = _SAME_ROW * min(heights[index], heights[first])
        if rows and middles[index] - middles[first] <= reach:
            rows[-1].append(index)
        else:
            rows.append([index])
    ordered = [sorted(row, key=lambda index: float(low[index, 0])) for row in rows]
    order = [index for row in ordered for index in row]
    numbers = [number for number, row in enumerate(ordered) for _ in row]
    return np.array(order, np.int64), np.array(numbers, np.int64)


def _slant(quads_xy: FloatArray) -> float:
    """The angle of most of the text, in radians: the median of the lines' upper sides, weighted by their lengths.

    Lines that stand rather than lie say nothing about it.
    """
    across = quads_xy[:, 1].astype(np.float64) - quads_xy[:, 0]
    lengths = np.hypot(*across.T)
    is_lying = (np.abs(across[:, 1]) < np.abs(across[:, 0])) & (
        lengths > np.hypot(*(quads_xy[:, 3] - quads_xy[:, 0]).T)
    )
    if not is_lying.any():
        return 0.0
    angles = np.arctan(across[is_lying, 1] / across[is_lying, 0])
    order = np.argsort(angles)
    weights = np.cumsum(lengths[is_lying][order])
    return float(angles[order][np.searchsorted(weights, weights[-1] / 2)])
