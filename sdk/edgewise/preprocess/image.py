"""From a picture to the exact tensor that a model wants."""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from edgewise.errors import CardError
from edgewise.model_card import ImagePreprocess
from edgewise.preprocess.geometry import Fit, View, fit_of, view_of
from edgewise.preprocess.jpeg.reading import read_small
from edgewise.preprocess.kernel import CompiledResize, is_array_for_it
from edgewise.preprocess.picture import (
    ImageSource,
    broken_as_unreadable,
    leave,
    name_of,
    open_picture,
    swaps_sides,
    to_mode,
    turn_of,
    turned,
)
from edgewise.preprocess.rows import RowShrinker
from edgewise.tensors import Array, FloatArray, Quantization

_FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "nearest": Image.Resampling.NEAREST,
}
_JPEG_FORMATS = ("JPEG", "MPO")
"""The second has more pictures behind the first, as phones store them."""
_DRAFT_MARGIN = 2.0
"""A JPEG is decoded at no less than this many times the size that is needed. Pillow's documentation of
``reducing_gap``: from 2.0 on the result is hardly distinguishable from that of full decoding."""

_LARGE_BYTES, _ROWS_FOR_ONE = 2_000_000, (2.0, 16.0)
"""From this size on, and from so many rows for one on, resizing down in NumPy saves time; beyond the second number
its weights of 8 bits are too coarse."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A picture as a model's input, and what of the picture the input shows."""

    tensor: Array
    """Batch of one, in the input's layout and dtype; the caller's."""
    view: View
    is_reduced: bool = False
    """Whether the picture was decoded at a fraction of its size."""


class ImageReader:
    """Reads pictures as one input of a model: batch of one, its layout, its dtype.

    A large JPEG is read straight to the size that is wanted, in up to ``threads`` threads, where the compiled reader
    is (jpeg/), else decoded at a fraction of its size. For an 8-bit input the bytes of the picture go through
    a table of 256 entries per channel, or straight in where the table is a shift; both give what the
    arithmetic in float32 gives. Where the compiled resize is (kernel.py), it makes pictures smaller, for an input of
    floats without rounding; ``compiled=False`` does without both. Otherwise a large array is resized in NumPy and
    Pillow, to within a rounding step of Pillow alone.
    """

    def __init__(
        self,
        spec: ImagePreprocess,
        *,
        layout: str = "nhwc",
        dtype: str = "float32",
        quantization: Quantization | None = None,
        compiled: bool = True,
        threads: int = 1,
    ) -> None:
        if layout not in ("nhwc", "nchw"):
            raise CardError(f"image input: got layout {layout!r}, expected 'nhwc' or 'nchw'")
        self.spec = spec
        self._mode = "L" if spec.colour == "grey" else "RGB"
        self._filter = _FILTERS[spec.resample]
        self._is_channels_first = layout == "nchw"
        self._takes_floats = np.dtype(dtype).kind == "f"
        self._compiled = CompiledResize(spec, channels_first=self._is_channels_first) if compiled else None
        self._threads = threads
        self._rows = RowShrinker()
        self._to_numbers = _converter(spec, dtype, quantization)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The shape of what `read` returns."""
        width, height = self.spec.size_wh
        channels = self.spec.channels
        return (1, channels, height, width) if self._is_channels_first else (1, height, width, channels)

    def read(self, source: ImageSource) -> Array:
        """The input tensor, batch of one; the array is the caller's.

        Raises UnreadableImage for a picture that is missing, broken or too large, InvalidInput for what is
        no picture.
        """
        return self.prepare(source).tensor

    def prepare(self, source: ImageSource, *, whole: bool = False) -> Prepared:
        """The input tensor with its view of the picture. Raises as `read` does.

        With ``whole`` a file goes the usual way: a large JPEG, too, is decoded at its full size, and Pillow resizes it.
        """
        resized, view, is_reduced = self._resized(source, whole=whole, floats=self._takes_floats)
        tensor = self._to_numbers(resized)[np.newaxis]
        if self._is_channels_first:
            tensor = np.ascontiguousarray(tensor.transpose(0, 3, 1, 2))
        return Prepared(tensor, view, is_reduced)

    def read_pixels(self, source: ImageSource) -> Array:
        """The resized picture before normalisation: uint8, (height, width, channels)."""
        return self._resized(source)[0]

    def _resized(
        self, source: ImageSource, *, whole: bool = False, floats: bool = False
    ) -> tuple[Array, View, bool]:
        """The pixels of the input; with ``floats``, normalised ones where the compiled resize makes them."""
        name = name_of(source)
        if isinstance(source, np.ndarray):
            made = self._compiled_from_array(source, floats=floats) or self._shrink(source)
            if made is not None:
                return *made, False
        with broken_as_unreadable(name):
            picture = open_picture(source)
            try:
                whole_wh = picture.size
                may_draft = picture is not source and not whole
                compiled = None if whole else self._compiled
                small = self._read_small(picture, compiled, floats=floats) if may_draft else None
                if small is not None:
                    return *small, True
                pixels, view = self._resize(picture, compiled, may_draft=may_draft, floats=floats)
                is_reduced = picture.size != whole_wh
            finally:
                leave(picture, source)
        return pixels, view, is_reduced

    def _pixels(self, resized: Image.Image) -> Array:
        pixels = np.asarray(resized)
        if pixels.ndim == 2:
            pixels = pixels[:, :, np.newaxis]
        return pixels[:, :, ::-1] if self.spec.colour == "bgr" else pixels

    def _compiled_from_array(self, image: Array, *, floats: bool) -> tuple[Array, View] | None:
        if self._compiled is None or not is_array_for_it(image, self.spec.channels):
            return None
        picture_wh, size_wh = (image.shape[1], image.shape[0]), self.spec.size_wh
        fit = fit_of(self.spec, picture_wh, size_wh)
        if not self._compiled.can_do(fit):
            return None
        return self._compiled.resized(image, fit, size_wh, floats=floats), view_of(fit, picture_wh, size_wh)

    def _shrink(self, image: Array) -> tuple[Array, View] | None:
        """A large array resized down in NumPy and then across in Pillow; None where Pillow does both."""
        if not _is_large(image, self.spec.channels) or self.spec.resample != "bilinear":
            return None
        picture_wh, size_wh = (image.shape[1], image.shape[0]), self.spec.size_wh
        fit = fit_of(self.spec, picture_wh, size_wh)
        left, top, right, bottom = fit.box_xyxy
        if not _ROWS_FOR_ONE[0] <= (bottom - top) / fit.inner_wh[1] <= _ROWS_FOR_ONE[1]:
            return None
        reach = math.ceil((right - left) / fit.inner_wh[0]) + 1
        first, last = max(0, math.floor(left) - reach), math.ceil(right) + reach
        rows = self._rows.shrink(image[:, first:last], top=top, bottom=bottom, rows=fit.inner_wh[1])
        picture = Image.fromarray(rows if self._mode == "RGB" else rows[:, :, 0])
        box = (left - first, 0, right - first, fit.inner_wh[1])
        resized = picture.resize(fit.inner_wh, self._filter, box=box)
        return self._pixels(self._on_canvas(resized, fit, size_wh)), view_of(fit, picture_wh, size_wh)

    def _read_small(
        self, picture: Image.Image, compiled: CompiledResize | None, *, floats: bool
    ) -> tuple[Array, View] | None:
        """A JPEG file that need not be decoded at all, to the pixels of the input; None for any other."""
        if compiled is None or picture.format not in _JPEG_FORMATS:
            return None
        turn = turn_of(picture)
        size_wh = self.spec.size_wh[::-1] if swaps_sides(turn) else self.spec.size_wh
        fit = fit_of(self.spec, picture.size, size_wh)
        file = picture.fp  # type: ignore[attr-defined]  # Pillow has not closed it: nothing is decoded yet
        small = read_small(
            file,
            picture.size,
            fit,
            colour=self.spec.colour,
            resample=self.spec.resample,
            as_bytes=not floats,
            threads=self._threads,
        )
        if small is None:
            return None
        pixels = compiled.placed(small, fit, size_wh, floats=floats)
        return turned(pixels, turn), view_of(fit, picture.size, size_wh, turn=turn)

    def _resize(
        self, picture: Image.Image, compiled: CompiledResize | None, *, may_draft: bool, floats: bool
    ) -> tuple[Array, View]:
        """Resize before turning and before adding colours: both then cost next to nothing."""
        turn = turn_of(picture)
        size_wh = self.spec.size_wh[::-1] if swaps_sides(turn) else self.spec.size_wh
        whole_wh, reduced_by = picture.size, (1.0, 1.0)
        if may_draft:
            drafted = picture.draft(None, _draft_size(self.spec, whole_wh, size_wh))
            if drafted:  # the box is the whole picture in pixels of the reduced one, not rounded
                reduced_by = (whole_wh[0] / drafted[1][2], whole_wh[1] / drafted[1][3])
        picture = to_mode(picture, self._mode)
        fit = fit_of(self.spec, picture.size, size_wh)
        view = view_of(fit, whole_wh, size_wh, reduced_by=reduced_by, turn=turn)
        if compiled is not None and compiled.can_do(fit):
            return turned(compiled.resized(picture, fit, size_wh, floats=floats), turn), view
        resized = picture.resize(fit.inner_wh, self._filter, box=fit.box_xyxy)
        resized = self._on_canvas(resized, fit, size_wh)
        return self._pixels(resized if turn is None else resized.transpose(turn)), view

    def _on_canvas(self, resized: Image.Image, fit: Fit, size_wh: tuple[int, int]) -> Image.Image:
        """With the border of a letterbox, where there is one."""
        if fit.inner_wh == size_wh:
            return resized
        fill = self.spec.fill if self._mode == "L" else (self.spec.fill,) * 3
        canvas = Image.new(self._mode, size_wh, fill)
        canvas.paste(resized, fit.offset_xy)
        return canvas


def _is_large(image: Array, channels: int) -> bool:
    """Whether shrinking in NumPy pays, and can be done without a copy: one byte beside the other in each row."""
    return (
        image.dtype == np.uint8
        and image.ndim == 3
        and image.shape[2] == channels
        and image.size >= _LARGE_BYTES
        and image.strides[1:] == (channels, 1)
    )


def _draft_size(
    spec: ImagePreprocess, picture_wh: tuple[int, int], size_wh: tuple[int, int]
) -> tuple[int, int]:
    """The smallest size of the whole picture that still has more detail than the input shows."""
    across, down = size_wh[0] / picture_wh[0], size_wh[1] / picture_wh[1]
    if spec.resize == "centre-crop":
        across = down = max(across, down) / spec.crop_fraction
    elif spec.resize == "letterbox":
        across = down = min(across, down)
    margin = _DRAFT_MARGIN
    return max(1, round(picture_wh[0] * across * margin)), max(1, round(picture_wh[1] * down * margin))


def normalise(pixels: Array, spec: ImagePreprocess) -> FloatArray:
    """``(pixel - mean) / std`` in float32; channels are the last axis."""
    mean, std = np.array(spec.mean, np.float32), np.array(spec.std, np.float32)
    if mean.size == std.size == 1:
        return np.divide(np.subtract(pixels, mean, dtype=np.float32), std)
    # Repeated over a row: NumPy is eight times slower where the last axis has three elements.
    line = pixels.shape[-2] * pixels.shape[-1]
    mean, std = (np.resize(values, line) for values in (mean, std))
    numbers = np.subtract(pixels.reshape(*pixels.shape[:-2], line), mean, dtype=np.float32)
    return np.divide(numbers, std, out=numbers).reshape(pixels.shape)


class _Float:
    def __init__(self, spec: ImagePreprocess, dtype: str) -> None:
        self._spec, self._dtype = spec, np.dtype(dtype)

    def __call__(self, pixels: Array) -> Array:
        is_ready = pixels.dtype == np.float32  # the compiled resize has normalised them
        return (pixels if is_ready else normalise(pixels, self._spec)).astype(self._dtype, copy=False)


class _Shift:
    """The integer is the byte plus a constant, modulo 256."""

    def __init__(self, shift: int, dtype: str) -> None:
        self._shift, self._dtype = np.uint8(shift), np.dtype(dtype)

    def __call__(self, pixels: Array) -> Array:
        shifted = pixels + self._shift if self._shift else np.array(pixels)
        return shifted.view(self._dtype)


class _Table:
    """One table of 256 integers for all channels, or one for each."""

    def __init__(self, tables: Array) -> None:
        self._tables = tables[:1] if (tables == tables[0]).all() else tables

    def __call__(self, pixels: Array) -> Array:
        if len(self._tables) == 1:
            return np.take(self._tables[0], pixels)
        out = np.empty(pixels.shape, self._tables.dtype)
        for channel, table in enumerate(self._tables):
            np.take(table, pixels[:, :, channel], out=out[:, :, channel])
        return out


def _converter(
    spec: ImagePreprocess, dtype: str, quantization: Quantization | None
) -> _Float | _Shift | _Table:
    """The cheapest way from bytes to the input's numbers."""
    kind = np.dtype(dtype).kind
    if kind == "f":
        return _Float(spec, dtype)
    if kind not in "iu":
        raise CardError(f"image input: got dtype {dtype}, expected floats or integers")
    bytes_ = np.arange(256, dtype=np.uint8)
    every_byte = np.repeat(bytes_[:, np.newaxis], spec.channels, axis=1)
    integers = (quantization or Quantization((1.0,), (0,))).quantize(normalise(every_byte, spec), dtype).T
    if integers.dtype.itemsize == 1:
        shift = int(integers[0, 0]) & 0xFF
        if (integers.view(np.uint8) == bytes_ + np.uint8(shift)).all():
            return _Shift(shift, dtype)
    return _Table(np.ascontiguousarray(integers))
