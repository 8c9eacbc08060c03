"""Takes faces out of a picture so that nobody can put them back.

Each face, with a margin, becomes at most four by four squares of the mean colour of what they cover: 48 bytes.
Blurring that keeps more can be undone well enough to recognise people (McPherson, Shokri and Shmatikov, "Defeating
image obfuscation with deep learning", 2016). The picture is looked at in four positions, since detectors expect upright
faces, and in overlapping quarters for small ones: eight runs of the detector, and again after blurring, until none is
found.
"""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

import edgewise
from edgewise.errors import EdgewiseError
from edgewise.model_card import OBJECT_DETECTION, ImagePreprocess
from edgewise.tensors import Array
from edgewise_agent.errors import RedactionFailed

MIN_SCORE = 0.6
"""Of YuNet's scores, whose usual threshold is 0.9: small, blurred, dark and turned faces were all found by this one,
and 13 % of the area of pictures without any face is covered; at 0.3 it was 70 %."""
MARGIN = 0.35
"""Of the face's longer side, on each side of it: hair, chin and ears."""
CELLS = 4
ROUNDS = 3
TILE_SHARE = 0.6
"""Of the picture's sides: four tiles that overlap by a fifth."""
_PRESETS = (
    {"head": "yunet", "preprocess": ImagePreprocess((640, 640), "letterbox", colour="bgr")},
    {
        "head": "blazeface",
        "preprocess": ImagePreprocess((128, 128), "letterbox", mean=(127.5,), std=(127.5,)),
    },
)
"""For files without a card: YuNet as OpenCV publishes it, BlazeFace as MediaPipe does."""

Box = tuple[int, int, int, int]


class FaceBlur:
    """Holds the detector; closed by whoever made it."""

    def __init__(self, model: Path) -> None:
        """Raises RedactionFailed for a file that is no face detector."""
        self._model = _open(model)

    def blur(self, picture: Image.Image) -> tuple[Image.Image, int]:
        """A copy without the faces, and how many were found. Raises RedactionFailed when some are still found."""
        pixels = np.array(picture.convert("RGB"))
        faces = 0
        for _ in range(ROUNDS):
            found = self.find(pixels)
            if not found:
                return Image.fromarray(pixels), faces
            faces += _apart(found)
            for box in found:
                _cover(pixels, box)
        if self.find(pixels):
            raise RedactionFailed(f"faces are still found after {ROUNDS} rounds of blurring")
        return Image.fromarray(pixels), faces

    def find(self, pixels: Array) -> list[Box]:
        """Where faces are, with their margin: uint8 [height, width, 3]. Raises RedactionFailed."""
        try:
            return [box for part, place in _parts(pixels) for box in self._in_part(part, place, pixels)]
        except EdgewiseError as error:
            raise RedactionFailed(f"the face detector failed: {error}") from error

    def close(self) -> None:
        """Let go of the detector."""
        self._model.close()

    def _in_part(self, part: Array, place: tuple[int, int], pixels: Array) -> Iterator[Box]:
        height, width = part.shape[:2]
        for turns in range(4 if part is pixels else 1):
            found = self._model.predict(np.ascontiguousarray(np.rot90(part, turns)))
            for one in found:
                box = _turned_back(one.box_xyxy, turns, width, height)
                yield _widened(box, place, pixels.shape[1], pixels.shape[0])


def _open(path: Path) -> edgewise.Model:
    reasons = []
    for preset in ({}, *_PRESETS):
        try:
            model = edgewise.load(path, task=OBJECT_DETECTION, score_threshold=MIN_SCORE, **preset)  # type: ignore[arg-type]  # keywords by name, checked when called
        except (EdgewiseError, OSError) as error:
            reasons.append(str(error))
            continue
        try:
            model.predict(np.zeros((64, 64, 3), np.uint8))
            labels = model.labels or ("face",)
            if preset or any("face" in label.lower() for label in labels):
                return model
            reasons.append(f"its labels are {labels[:5]}")
        except EdgewiseError as error:
            reasons.append(str(error))
        model.close()
    raise RedactionFailed(f"privacy.face_model {path}: got no face detector, expected one ({reasons[0]})")


def _parts(pixels: Array) -> Iterator[tuple[Array, tuple[int, int]]]:
    """The whole picture and four parts of it, with the place of their left top corners."""
    height, width = pixels.shape[:2]
    yield pixels, (0, 0)
    tall, wide = round(height * TILE_SHARE), round(width * TILE_SHARE)
    if min(tall, wide) < 64:
        return
    for top in (0, height - tall):
        for left in (0, width - wide):
            yield pixels[top : top + tall, left : left + wide], (left, top)


def _turned_back(
    box: tuple[float, float, float, float], turns: int, width: int, height: int
) -> tuple[float, ...]:
    """From a picture turned left by so many quarters to the one of ``width`` and ``height``."""
    left, top, right, bottom = box
    if turns == 1:
        return width - bottom, left, width - top, right
    if turns == 2:
        return width - right, height - bottom, width - left, height - top
    if turns == 3:
        return top, height - right, bottom, height - left
    return box


def _widened(box: tuple[float, ...], place: tuple[int, int], width: int, height: int) -> Box:
    left, top, right, bottom = box
    more = MARGIN * max(right - left, bottom - top)
    return (
        max(int(left + place[0] - more), 0),
        max(int(top + place[1] - more), 0),
        min(int(np.ceil(right + place[0] + more)), width),
        min(int(np.ceil(bottom + place[1] + more)), height),
    )


def _apart(boxes: list[Box]) -> int:
    """How many there are when those that lie on each other are one."""
    kept: list[Box] = []
    for box in boxes:
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        if not any(left <= x <= right and top <= y <= bottom for left, top, right, bottom in kept):
            kept.append(box)
    return len(kept)


def _cover(pixels: Array, box: Box) -> None:
    left, top, right, bottom = box
    rows = np.linspace(top, bottom, CELLS + 1).round().astype(int)
    columns = np.linspace(left, right, CELLS + 1).round().astype(int)
    for up, down in pairwise(rows):
        for west, east in pairwise(columns):
            cell = pixels[up:down, west:east]
            if cell.size:
                cell[:] = cell.reshape(-1, 3).mean(axis=0).round()
