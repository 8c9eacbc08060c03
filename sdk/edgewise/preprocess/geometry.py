"""Where a picture lies in a model's input, and the way back from the input's pixels to the picture's.

Coordinates are continuous: pixel i covers i to i + 1, so the picture's right edge is its width.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from edgewise.model_card import ImagePreprocess
from edgewise.preprocess.picture import swaps_sides
from edgewise.tensors import Array, FloatArray

_FLIPS_X = (
    Image.Transpose.FLIP_LEFT_RIGHT,
    Image.Transpose.ROTATE_180,
    Image.Transpose.ROTATE_270,
    Image.Transpose.TRANSVERSE,
)
"""Turns after which a step to the right was, before, a step to the left, or up."""
_FLIPS_Y = (
    Image.Transpose.FLIP_TOP_BOTTOM,
    Image.Transpose.ROTATE_180,
    Image.Transpose.ROTATE_90,
    Image.Transpose.TRANSVERSE,
)


@dataclass(frozen=True)
class Fit:
    """``box_xyxy`` of the picture is resized to ``inner_wh`` and laid at ``offset_xy`` of the input."""

    box_xyxy: tuple[float, float, float, float]
    inner_wh: tuple[int, int]
    offset_xy: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class View:
    """What of an upright picture a model's input shows: ``picture = input * scale_xy + shift_xy``."""

    picture_wh: tuple[int, int]
    """Of the original, turned upright."""
    input_wh: tuple[int, int]
    scale_xy: tuple[float, float]
    shift_xy: tuple[float, float]

    def to_picture(self, points_xy: Array) -> FloatArray:
        """Points [..., 2] in pixels of the input to float32 pixels of the picture; not clipped."""
        return (np.asarray(points_xy, np.float64) * self.scale_xy + self.shift_xy).astype(np.float32)

    def to_input(self, points_xy: Array) -> FloatArray:
        """Points [..., 2] in pixels of the picture to float32 pixels of the input; not clipped."""
        return ((np.asarray(points_xy, np.float64) - self.shift_xy) / self.scale_xy).astype(np.float32)

    def boxes_to_picture(self, boxes_xyxy: Array) -> FloatArray:
        """Boxes [n, 4] in pixels of the input to float32 pixels of the picture, clipped to it."""
        boxes = self.to_picture(np.asarray(boxes_xyxy).reshape(-1, 2, 2))
        clipped: FloatArray = np.clip(boxes, 0, np.array(self.picture_wh, np.float32)).reshape(-1, 4)
        return clipped


def fit_of(spec: ImagePreprocess, picture_wh: tuple[int, int], size_wh: tuple[int, int]) -> Fit:
    """How a picture of ``picture_wh`` goes into an input of ``size_wh`` (both before turning upright)."""
    whole = (0.0, 0.0, float(picture_wh[0]), float(picture_wh[1]))
    if spec.resize == "centre-crop":
        return Fit(_crop_box(picture_wh, size_wh, spec.crop_fraction), size_wh)
    if spec.resize == "stretch":
        return Fit(whole, size_wh)
    scale = min(size_wh[0] / picture_wh[0], size_wh[1] / picture_wh[1])
    inner_wh = (max(1, round(picture_wh[0] * scale)), max(1, round(picture_wh[1] * scale)))
    offset_xy = ((size_wh[0] - inner_wh[0]) // 2, (size_wh[1] - inner_wh[1]) // 2)
    return Fit(whole, inner_wh, offset_xy)


def _crop_box(
    picture_wh: tuple[int, int], size_wh: tuple[int, int], crop_fraction: float
) -> tuple[float, float, float, float]:
    """The part of the picture, in its pixels, that fills the input: cropping and resizing are one step."""
    scale = max(size_wh[0] / picture_wh[0], size_wh[1] / picture_wh[1]) / crop_fraction
    width, height = size_wh[0] / scale, size_wh[1] / scale
    # Rounding may make the margin a hair less than none, which Pillow refuses.
    left, top = max(0.0, (picture_wh[0] - width) / 2), max(0.0, (picture_wh[1] - height) / 2)
    return left, top, min(left + width, picture_wh[0]), min(top + height, picture_wh[1])


def view_of(
    fit: Fit,
    picture_wh: tuple[int, int],
    size_wh: tuple[int, int],
    *,
    reduced_by: tuple[float, float] = (1.0, 1.0),
    turn: Image.Transpose | None = None,
) -> View:
    """The view after turning upright. ``picture_wh`` and ``size_wh`` are those before it.

    ``reduced_by`` is how many pixels of the original, across and down, one pixel that ``fit`` speaks of
    covers: a large JPEG is decoded at a fraction of its size.
    """
    box, inner, offset = fit.box_xyxy, fit.inner_wh, fit.offset_xy
    scale = [(box[2 + axis] - box[axis]) / inner[axis] * reduced_by[axis] for axis in (0, 1)]
    shift = [box[axis] * reduced_by[axis] - offset[axis] * scale[axis] for axis in (0, 1)]
    picture, size = list(picture_wh), list(size_wh)
    if swaps_sides(turn):
        for pair in (scale, shift, picture, size):
            pair.reverse()
    for axis, flips in enumerate((_FLIPS_X, _FLIPS_Y)):
        if turn in flips:
            shift[axis] = picture[axis] - size[axis] * scale[axis] - shift[axis]
    return View((picture[0], picture[1]), (size[0], size[1]), (scale[0], scale[1]), (shift[0], shift[1]))
