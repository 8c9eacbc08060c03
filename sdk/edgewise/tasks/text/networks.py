"""The networks that read text: which pictures they take and what they answer, whatever their file's format."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from edgewise.errors import CardError, InvalidInput
from edgewise.model import Model
from edgewise.model_card import ImagePreprocess
from edgewise.preprocess.geometry import View
from edgewise.preprocess.image import ImageReader, Prepared
from edgewise.tasks.text.decoding import alphabet_of, greedy, probabilities_of
from edgewise.tasks.text.line_picture import at_height, padded, pieces
from edgewise.tasks.text.options import TextOptions
from edgewise.tensors import FloatArray

_STEP = 32
"""Sizes of open inputs are multiples of it: the detector halves pictures five times, and the recogniser's runtime then
meets few different widths."""


class PictureInput:
    """The one picture input of a model whose height and width are fixed or open."""

    def __init__(self, model: Model, usual: ImagePreprocess, asked: ImagePreprocess | None) -> None:
        """``asked`` wins over the card, the card over ``usual``. Raises CardError for another kind of model."""
        where = str(model.path)
        if len(model.inputs) != 1 or len(model.outputs) != 1:
            ends = f"{len(model.inputs)} inputs and {len(model.outputs)} outputs"
            raise CardError(f"{where}: got {ends}, expected one picture and one output")
        self._spec = model.inputs[0]
        card = model.card.inputs[0].image if model.card else None
        self.preprocess = asked or card or usual
        self._layout = self._told_layout(where)
        sizes = self._spec.shape[2:] if self._layout == "nchw" else self._spec.shape[1:3]
        self.height, self.width = sizes
        """-1 where open."""
        self._readers: dict[tuple[int, int, str], ImageReader] = {}

    def _told_layout(self, where: str) -> str:
        shape, channels = self._spec.shape, self.preprocess.channels
        if len(shape) == 4 and shape[0] in (1, -1):
            for layout, axis in (("nchw", 1), ("nhwc", 3)):
                if self._spec.layout in ("", layout) and shape[axis] == channels:
                    return layout
        raise CardError(
            f"{where}: input '{self._spec.name}': got {list(shape)}, expected one picture, "
            f"[1, {channels}, height, width] or [1, height, width, {channels}]"
        )

    def prepare(self, picture: Image.Image, size_wh: tuple[int, int], resize: str) -> Prepared:
        """The picture as the input's numbers at this size."""
        key = (*size_wh, resize)
        if key not in self._readers:
            p = self.preprocess
            spec = ImagePreprocess(size_wh, resize, 1.0, p.resample, p.colour, p.mean, p.std, p.fill)
            self._readers[key] = ImageReader(
                spec, layout=self._layout, dtype=self._spec.dtype, quantization=self._spec.quantization
            )
        return self._readers[key].prepare(picture)


class MapNetwork:
    """Says of each part of a picture how likely text is there: [1, 1, h, w] or [1, h, w, 1], 0 to 1."""

    def __init__(self, model: Model, usual: ImagePreprocess, asked: ImagePreprocess | None) -> None:
        self._model, self._output = model, model.outputs[0]
        self._input = PictureInput(model, usual, asked)

    def prepare(self, picture: Image.Image, options: TextOptions) -> Prepared:
        """A fixed input gets the picture in a letterbox, an open one stretched to the nearest size that fits."""
        size_wh = self._size(picture.size, options)
        is_fixed = size_wh == (self._input.width, self._input.height)
        return self._input.prepare(picture, size_wh, "letterbox" if is_fixed else "stretch")

    def _size(self, picture_wh: tuple[int, int], options: TextOptions) -> tuple[int, int]:
        scale = max(1.0, options.shortest_px / min(picture_wh))
        scale = min(scale, options.longest_px / max(picture_wh))
        width, height = (max(_STEP, round(side * scale / _STEP) * _STEP) for side in picture_wh)
        return (
            width if self._input.width < 0 else self._input.width,
            height if self._input.height < 0 else self._input.height,
        )

    def run(self, prepared: Prepared) -> FloatArray:
        """The map [h, w]. Raises InvalidInput for NaN, CardError when it is no map."""
        output = self._model.run(prepared.tensor)[self._output.name]
        answer = _real(self._output.dequantized(output), self._output.name)
        if answer.ndim != 4 or answer.shape[0] != 1 or 1 not in (answer.shape[1], answer.shape[3]):
            raise CardError(
                f"{self._model.path}: output '{self._output.name}': got {list(answer.shape)}, expected a map of text, "
                "[1, 1, height, width] or [1, height, width, 1]; is it a text detector (DB)?"
            )
        return answer[0, 0] if answer.shape[1] == 1 else answer[0, :, :, 0]

    @staticmethod
    def to_picture(quads: FloatArray, text_map: FloatArray, view: View) -> FloatArray:
        """Quads in cells of the map to pixels of the picture, clipped to it."""
        cell = np.array(view.input_wh, np.float32) / np.array(text_map.shape[::-1], np.float32)
        clipped: FloatArray = np.clip(view.to_picture(quads * cell), 0, np.array(view.picture_wh, np.float32))
        return clipped


class LineNetwork:
    """Says for each step along a line of text how likely each character is: [1, steps, classes]."""

    def __init__(
        self,
        model: Model,
        usual: ImagePreprocess,
        asked: ImagePreprocess | None,
        characters: Sequence[str] | None,
    ) -> None:
        self._model, self._output = model, model.outputs[0]
        self._input = PictureInput(model, usual, asked)
        self._usual_wh = self._input.preprocess.size_wh
        if len(self._output.shape) != 3 or self._output.shape[2] < 2:
            raise CardError(
                f"{model.path}: output '{self._output.name}': got {list(self._output.shape)}, "
                "expected [1, steps, classes]; is it a text recogniser (CTC)?"
            )
        where = str(model.path)
        self._alphabet = alphabet_of(_characters(model, characters), self._output.shape[2], where)

    @property
    def height(self) -> int:
        """Of the lines."""
        return self._usual_wh[1] if self._input.height < 0 else self._input.height

    def read(self, line: Image.Image) -> tuple[str, float]:
        """The text of a straightened line, and the mean probability of its characters (0 when it has none).

        An open width is the line's, but at least the usual one. A fixed one takes as much as fits; longer lines are
        read in pieces, cut between letters.
        """
        line = at_height(line, self.height)
        if self._input.width < 0:
            parts = [(line, False)]
            width = max(self._usual_wh[0], -(-line.width // _STEP) * _STEP)
        else:
            width = self._input.width
            parts = pieces(line, width)
        texts, scores = [], []
        for part, is_spaced in parts:
            text, part_scores = self._read_part(part, width)
            texts.append(text + " " * (is_spaced and not text.endswith(" ")))
            scores.append(part_scores)
        everything = np.concatenate(scores)
        return "".join(texts).strip(), float(everything.mean()) if everything.size else 0.0

    def _read_part(self, part: Image.Image, width: int) -> tuple[str, FloatArray]:
        size_wh = (width, self.height)
        canvas = padded(part, size_wh, self._input.preprocess.fill)
        output = self._model.run(self._input.prepare(canvas, size_wh, "stretch").tensor)[self._output.name]
        rows = _real(self._output.dequantized(output), self._output.name)[0]
        return greedy(probabilities_of(rows), self._alphabet)


class DirectionNetwork:
    """Says whether a line stands on its head: [1, 2], probabilities of 0 and 180 degrees."""

    def __init__(self, model: Model, usual: ImagePreprocess) -> None:
        self._model, self._output = model, model.outputs[0]
        self._input = PictureInput(model, usual, None)
        width, height = self._input.preprocess.size_wh
        self._size_wh = (
            width if self._input.width < 0 else self._input.width,
            height if self._input.height < 0 else self._input.height,
        )
        if len(self._output.shape) != 2 or self._output.shape[1] != 2:
            raise CardError(
                f"{model.path}: output '{self._output.name}': got {list(self._output.shape)}, "
                "expected [1, 2], whether a line is upright or upside down"
            )

    def turned(self, line: Image.Image, threshold: float) -> Image.Image:
        """The line, turned round when it stands on its head with at least this probability."""
        canvas = padded(at_height(line, self._size_wh[1]), self._size_wh, self._input.preprocess.fill)
        tensor = self._input.prepare(canvas, self._size_wh, "stretch").tensor
        scores = probabilities_of(self._output.dequantized(self._model.run(tensor)[self._output.name]))
        return line.transpose(Image.Transpose.ROTATE_180) if scores[0, 1] >= threshold else line


def _characters(model: Model, asked: Sequence[str] | None) -> Sequence[str]:
    """Those given, else the model's labels, else the ones that PP-OCR's ONNX files carry."""
    if asked is not None:
        return asked
    carried = model.file.properties.get("character", "")
    found = model.labels or tuple(carried.split("\n") if carried else ())
    if not found:
        raise CardError(
            f"{model.path}: the file does not say its characters; give TextReader characters=..., one for each class"
        )
    return found


def _real(output: FloatArray, name: str) -> FloatArray:
    if np.isnan(output).any():
        raise InvalidInput(f"output '{name}': the model gave NaN for this picture")
    return output.astype(np.float32, copy=False)
