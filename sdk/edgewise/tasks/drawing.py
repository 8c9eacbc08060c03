"""Marks on pictures: boxes, points, labels, areas. No font files: Pillow brings one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from edgewise.tensors import Array, FloatArray

if TYPE_CHECKING:
    # A device that only answers draws nothing: FreeType and HarfBuzz are not loaded for it.
    from PIL import ImageDraw, ImageFont

Colour = tuple[int, int, int]
COLOURS: tuple[Colour, ...] = (
    (230, 57, 70), (29, 130, 190), (42, 157, 90), (240, 150, 20), (140, 80, 190), (0, 160, 170),
    (200, 60, 140), (120, 140, 20), (90, 90, 220), (160, 90, 40),
)  # fmt: skip
"""By class id, again from the start after the last; each is readable under white or black text."""
_TEXT_PER_SIDE = 1 / 40
_TEXT_MIN_PX = 11
_LINE_PER_SIDE = 1 / 320


def colour_of(class_id: int) -> Colour:
    """The colour of a class."""
    return COLOURS[class_id % len(COLOURS)]


@dataclass(frozen=True)
class Mark:
    """One box with its label, in pixels of the picture."""

    box_xyxy: tuple[float, float, float, float]
    text: str
    colour: Colour
    points_xy: FloatArray | None = None
    """[k, 2]."""
    outline_xy: FloatArray | None = None
    """[m, 2]: drawn instead of the box, which then only says where the label goes."""


def draw_marks(picture: Image.Image, marks: list[Mark]) -> None:
    """Draw boxes, points and labels onto an RGB picture; labels last, so that no box hides one."""
    from PIL import ImageDraw

    side = max(picture.size)
    line = max(2, round(side * _LINE_PER_SIDE))
    pen = ImageDraw.Draw(picture)
    for mark in marks:
        _draw_outline(pen, mark, line)
        for x, y in [] if mark.points_xy is None else mark.points_xy.tolist():
            pen.ellipse((x - line, y - line, x + line, y + line), fill=mark.colour, outline="white")
    font = _font(max(_TEXT_MIN_PX, round(side * _TEXT_PER_SIDE)))
    for mark in marks:
        _draw_label(pen, picture.size, mark, font)


def _draw_outline(pen: "ImageDraw.ImageDraw", mark: Mark, line: int) -> None:
    if mark.outline_xy is not None:
        corners = [(x, y) for x, y in mark.outline_xy.tolist()]
        pen.line([*corners, corners[0]], fill=mark.colour, width=line, joint="curve")
        return
    left, top, right, bottom = mark.box_xyxy
    pen.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=mark.colour, width=line)


def draw_skeleton(
    picture: Image.Image,
    points_xy: FloatArray,
    seen: Array,
    skeleton: Sequence[tuple[int, int]],
    colour: Colour,
) -> None:
    """Draw the points [k, 2] that are ``seen`` [k], and the lines between two of them, onto an RGB picture."""
    from PIL import ImageDraw

    line = max(2, round(max(picture.size) * _LINE_PER_SIDE))
    pen = ImageDraw.Draw(picture)
    spots = [(x, y) for x, y in points_xy.tolist()]
    for first, last in skeleton:
        if seen[first] and seen[last]:
            pen.line([spots[first], spots[last]], fill=colour, width=line)
    for (x, y), is_seen in zip(spots, seen.tolist(), strict=True):
        if is_seen:
            pen.ellipse((x - line, y - line, x + line, y + line), fill=colour, outline="white")


def _font(size_px: int) -> "ImageFont.FreeTypeFont | ImageFont.ImageFont":
    """Pillow's own font; before Pillow 10.1, or built without FreeType, it has one size."""
    from PIL import ImageFont

    try:
        return ImageFont.load_default(size_px)
    except (TypeError, ImportError, OSError):
        return ImageFont.load_default()


def _draw_label(
    pen: "ImageDraw.ImageDraw",
    picture_wh: tuple[int, int],
    mark: Mark,
    font: "ImageFont.FreeTypeFont | ImageFont.ImageFont",
) -> None:
    """The text on its own ground above the box, inside the picture where there is no room above."""
    if not mark.text:
        return
    from PIL import ImageFont

    is_bitmap = isinstance(font, ImageFont.ImageFont)
    text = mark.text.encode("latin-1", "replace").decode("latin-1") if is_bitmap else mark.text
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    width, height = right - left + 4, bottom - top + 4
    x = max(0.0, min(mark.box_xyxy[0], picture_wh[0] - width))
    y = mark.box_xyxy[1] - height if mark.box_xyxy[1] >= height else mark.box_xyxy[1]
    pen.rectangle((x, y, x + width, y + height), fill=mark.colour)
    pen.text((x + 2 - left, y + 2 - top), text, fill=_ink(mark.colour), font=font)


def _ink(ground: Colour) -> Colour:
    """Black or white, whichever is further from the ground's luma (ITU-R BT.601)."""
    luma = 0.299 * ground[0] + 0.587 * ground[1] + 0.114 * ground[2]
    return (0, 0, 0) if luma > 140 else (255, 255, 255)


def tint(picture: Image.Image, class_map: Array, class_ids: list[int], *, share: float) -> Image.Image:
    """The picture with the pixels of these classes mixed with their colours; ``share`` 1 hides the picture."""
    pixels = np.asarray(picture).copy()
    for class_id in class_ids:
        inside = class_map == class_id
        colour = np.array(colour_of(class_id), np.float32)
        pixels[inside] = np.rint(pixels[inside] * (1 - share) + colour * share).astype(np.uint8)
    return Image.fromarray(pixels)
