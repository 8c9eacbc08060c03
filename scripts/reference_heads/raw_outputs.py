"""Raw outputs for every head: seeded ones that are as crowded as a network's, and of trained networks on a photo.

Coordinates are multiples of 1/16 and scores of 1/4096, which float32 holds exactly and zip packs well.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

Arrays = Mapping[str, np.ndarray]

SQUARE, WIDE, TALL, ODD = (640, 640), (960, 480), (300, 400), (900, 601)
"""Pictures. A letterbox of 320 px brings the first three to whole pixels with even borders, the last to 320 x 214."""
EVEN = (SQUARE, WIDE, TALL)


@dataclass(frozen=True)
class Case:
    """What a network of one head answered, and how it is to be read."""

    head: str
    name: str
    raw: Arrays
    """By the output's name, in the model's order."""
    input_wh: tuple[int, int] = (320, 320)
    pictures_wh: tuple[tuple[int, int], ...] = (SQUARE,)
    score: float = 0.25
    overlap: float = 0.45
    classes: int = 1
    keypoints: int = 0
    is_class_agnostic: bool = False
    truth: Arrays = field(default_factory=dict)
    """For ssd: the boxes that the encodings were made from."""

    @property
    def key(self) -> str:
        return f"{self.head}.{self.name}"


def steps(values: np.ndarray, step: float) -> np.ndarray:
    """The nearest multiples of ``step``, float32."""
    return (np.round(np.asarray(values) / step) * step).astype(np.float32)


def crowd(
    rng: np.random.Generator, count: int, *, classes: int = 1, objects: int = 12, side: int = 320
) -> tuple[np.ndarray, np.ndarray]:
    """Boxes [count, 4] of cx, cy, w, h jittered around some objects, and scores [count, classes]."""
    centres = rng.uniform(0, side, (objects, 2))
    sizes = rng.uniform(side / 20, side / 2, (objects, 2))
    which = rng.integers(0, objects, count)
    boxes = np.concatenate([centres[which], sizes[which]], axis=1)
    boxes += rng.normal(0, 0.12, boxes.shape) * np.tile(sizes[which], 2)
    boxes[:, 2:] = np.maximum(boxes[:, 2:], 2)
    scores = rng.uniform(0, 0.3, (count, classes))
    own = (which + (rng.random(count) < 0.15)) % classes
    scores[np.arange(count), own] = rng.uniform(0.05, 0.99, count)
    return steps(boxes, 1 / 16), steps(scores, 1 / 4096)


def spread(rng: np.random.Generator, rows: np.ndarray, total: int, *, keep_order: bool = False) -> np.ndarray:
    """[total, width]: these rows at random places in random order, the rest zeros."""
    out = np.zeros((total, rows.shape[1]), np.float32)
    places = rng.choice(total, len(rows), replace=False)
    out[np.sort(places) if keep_order else places] = rows
    return out


def grid(count: int, side: int = 320) -> np.ndarray:
    """[count, 4]: small boxes that do not touch."""
    across = int(np.ceil(np.sqrt(count)))
    pitch = side / across
    y, x = np.divmod(np.arange(count), across)
    boxes = np.stack([(x + 0.5) * pitch, (y + 0.5) * pitch, *[np.full(count, pitch / 2)] * 2], axis=1)
    return steps(boxes, 1 / 16)
