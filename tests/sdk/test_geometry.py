"""From a picture to a model's input and back, to the pixel."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edgewise.model_card import RESIZES, ImagePreprocess
from edgewise.preprocess.geometry import View
from edgewise.preprocess.image import ImageReader

ROUNDING_PX = 1e-2
"""float32 coordinates of pictures of up to 5,000 pixels keep 3 digits behind the point."""
EDGE_INPUT_PX = 1.0
"""An edge in the input is told to half a pixel, and bilinear scaling and JPEG blur it by as much again."""


def view(picture_wh: tuple[int, int], spec: ImagePreprocess, orientation: int = 1) -> View:
    """The view of a picture of this size that is stored turned."""
    picture = Image.new("L", picture_wh)
    picture.getexif()[0x0112] = orientation
    return ImageReader(spec).prepare(picture).view


sides = st.integers(1, 700)
sizes = st.tuples(sides, sides)


@settings(max_examples=100, deadline=None)
@given(
    sizes,
    st.tuples(st.integers(8, 90), st.integers(8, 90)),
    st.sampled_from(RESIZES),
    st.integers(1, 8),
    st.lists(st.floats(0, 1), min_size=4, max_size=4),
)
def test_a_box_comes_back(
    picture_wh: tuple[int, int],
    input_wh: tuple[int, int],
    resize: str,
    orientation: int,
    shares: list[float],
) -> None:
    there = view(picture_wh, ImagePreprocess(input_wh, resize, 0.875), orientation)
    upright_wh = picture_wh[::-1] if orientation >= 5 else picture_wh
    assert there.picture_wh == upright_wh
    assert there.input_wh == input_wh
    left, right = sorted(share * upright_wh[0] for share in shares[:2])
    top, bottom = sorted(share * upright_wh[1] for share in shares[2:])
    box = np.array([[left, top, right, bottom]], np.float32)
    back = there.boxes_to_picture(there.to_input(box.reshape(-1, 2, 2)).reshape(-1, 4))
    assert np.abs(back - box).max() <= ROUNDING_PX


@settings(max_examples=100, deadline=None)
@given(sizes, st.tuples(st.integers(8, 90), st.integers(8, 90)), st.sampled_from(RESIZES), st.integers(1, 8))
def test_the_input_shows_the_whole_picture_or_its_middle(
    picture_wh: tuple[int, int], input_wh: tuple[int, int], resize: str, orientation: int
) -> None:
    there = view(picture_wh, ImagePreprocess(input_wh, resize), orientation)
    corners = there.to_picture(np.array([[0, 0], input_wh]))
    size = np.array(there.picture_wh)
    slack = np.array(there.scale_xy) * 1.01  # a letterbox's border is of whole pixels
    assert np.abs(corners.sum(axis=0) - size).max() <= slack.max() + ROUNDING_PX, "not in the middle"
    if resize == "centre-crop":
        assert (corners[0] >= -ROUNDING_PX).all()
        assert (corners[1] <= size + ROUNDING_PX).all()
    else:
        assert (corners[0] <= ROUNDING_PX).all()
        assert (corners[1] >= size - ROUNDING_PX).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize(
    ("size_wh", "form"), [((322, 211), "png"), ((1615, 1207), "jpeg"), ((901, 1603), "jpeg")]
)
def test_a_white_square_is_where_the_picture_has_it(
    orientation: int, resize: str, size_wh: tuple[int, int], form: str
) -> None:
    width, height = size_wh[::-1] if orientation >= 5 else size_wh
    box = np.array([round(width * 0.36), round(height * 0.42), round(width * 0.55), round(height * 0.62)])
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[box[1] : box[3], box[0] : box[2]] = 255
    stored = Image.fromarray(_stored(pixels, orientation))
    exif, stream = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    stored.save(stream, form, exif=exif)  # a large JPEG is decoded at a fraction of its size
    prepared = ImageReader(ImagePreprocess((97, 64), resize, 0.9)).prepare(stream)
    rows, columns = np.nonzero(prepared.tensor[0, :, :, 0] > 127)
    seen = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]])
    assert prepared.view.picture_wh == (width, height)
    tolerance = EDGE_INPUT_PX * np.array(prepared.view.scale_xy * 2)
    assert (np.abs(prepared.view.boxes_to_picture(seen)[0] - box) <= tolerance).all()


def _stored(upright: np.ndarray, orientation: int) -> np.ndarray:
    """What a camera that was held so would store (Exif 2.32, orientation: where row 0 and column 0 are)."""
    stored = upright.transpose(1, 0, 2) if orientation >= 5 else upright
    if orientation in (3, 4, 6, 7):
        stored = stored[::-1]
    return np.ascontiguousarray(stored[:, ::-1] if orientation in (2, 3, 7, 8) else stored)


def test_boxes_are_clipped_to_the_picture() -> None:
    there = view((100, 50), ImagePreprocess((20, 20), "letterbox"))
    assert there.boxes_to_picture(np.array([[-5, -5, 30, 30]], np.float32)).tolist() == [[0, 0, 100, 50]]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("picture_wh", "input_wh"), [((7, 10), (12, 10)), ((10, 7), (10, 12))])
def test_a_pixel_beside_an_uneven_border_is_told_exactly(
    orientation: int, picture_wh: tuple[int, int], input_wh: tuple[int, int]
) -> None:
    pixels = np.zeros((picture_wh[1], picture_wh[0], 3), np.uint8)
    pixels[2, 3] = 255
    stored = Image.fromarray(_stored(pixels, orientation))
    stored.getexif()[0x0112] = orientation
    prepared = ImageReader(ImagePreprocess(input_wh, "letterbox")).prepare(
        stored
    )  # not scaled, borders 2 and 3
    (row,), (column,) = np.nonzero(prepared.tensor[0, :, :, 0])
    seen = np.array([[column, row, column + 1, row + 1]])
    assert prepared.view.boxes_to_picture(seen).tolist() == [[3, 2, 4, 3]]
