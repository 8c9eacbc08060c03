"""Reads the text of pictures with two models: one finds lines, the other reads them (PP-OCR's family)."""

from collections.abc import Sequence
from time import perf_counter

import numpy as np
from PIL import Image

from edgewise.model import Model
from edgewise.model_card import ImagePreprocess
from edgewise.preprocess.picture import ImageSource, upright
from edgewise.tasks.text.line_picture import cut_out
from edgewise.tasks.text.networks import DirectionNetwork, LineNetwork, MapNetwork
from edgewise.tasks.text.options import DIRECTION_INPUT, LINE_INPUT, PAGE_INPUT, TextOptions
from edgewise.tasks.text.page import PageText, TextLine, reading_order
from edgewise.tasks.text.text_map import quads_of
from edgewise.tasks.timings import Timings
from edgewise.tensors import FloatArray


class LineReader:
    """Reads pictures of one line each with a recogniser (CTC) alone, such as the digits of a meter.

    ``direction``, ``characters`` and ``line_input`` are those of `TextReader`. The models stay the caller's.
    """

    def __init__(
        self,
        recogniser: Model,
        *,
        direction: Model | None = None,
        turn_threshold: float = 0.9,
        characters: Sequence[str] | None = None,
        line_input: ImagePreprocess | None = None,
    ) -> None:
        self._lines = LineNetwork(recogniser, LINE_INPUT, line_input, characters)
        self._direction = DirectionNetwork(direction, DIRECTION_INPUT) if direction else None
        self._turn_threshold = turn_threshold

    def read_line(self, image: ImageSource) -> TextLine:
        """The text of a picture that shows one line and nothing else. Nothing is left out, however low its score.

        Raises UnreadableImage, InvalidInput.
        """
        return self._read(upright(image))

    def _read(self, line: Image.Image) -> TextLine:
        if self._direction:
            line = self._direction.turned(line, self._turn_threshold)
        return TextLine(*self._lines.read(line))


class TextReader(LineReader):
    """Reads pages with a text detector (DB) and a recogniser (CTC), as PP-OCR v2 to v6 are.

    Files of fixed size, as `edgewise convert` writes them, get pages in a letterbox and long lines in pieces; files of
    open size get pages and lines as they are. The models stay the caller's, who closes them.
    """

    def __init__(
        self,
        detector: Model,
        recogniser: Model,
        *,
        direction: Model | None = None,
        options: TextOptions | None = None,
        characters: Sequence[str] | None = None,
        page_input: ImagePreprocess | None = None,
        line_input: ImagePreprocess | None = None,
    ) -> None:
        """``direction`` tells lines that stand on their head, which are then turned round.

        ``characters`` are those of the recogniser's classes, with or without CTC's blank before them; by default the
        model's labels or, in PP-OCR's ONNX files, their metadata. ``page_input`` and ``line_input`` say how pictures
        become numbers; by default the cards do, else it is as PaddleOCR has it. Raises CardError for other models.
        """
        self.options = options or TextOptions()
        super().__init__(
            recogniser,
            direction=direction,
            turn_threshold=self.options.turn_threshold,
            characters=characters,
            line_input=line_input,
        )
        self._pages = MapNetwork(detector, PAGE_INPUT, page_input)

    def read(self, image: ImageSource) -> PageText:
        """The lines of a picture: a path, an open binary file, a PIL image, or uint8 (height, width, 3) in RGB.

        The timings' pre-processing is up to the detector's input, their invocation the detector alone, and the rest,
        with the recogniser's calls, is post-processing. Raises UnreadableImage, InvalidInput, CardError.
        """
        started = perf_counter()
        picture = upright(image)
        prepared = self._pages.prepare(picture, self.options)
        ready = perf_counter()
        text_map = self._pages.run(prepared)
        found = perf_counter()
        quads, box_scores = quads_of(text_map, self.options)
        quads = self._pages.to_picture(quads, text_map, prepared.view)
        kept = _is_seen(quads)
        quads, box_scores = quads[kept], box_scores[kept]
        answers = [self._read(cut_out(picture, quad)) for quad in quads]
        scores = np.array([line.score for line in answers], np.float32)
        is_read = np.array([bool(line.text) for line in answers], bool) & (
            scores >= self.options.score_threshold
        )
        places = np.flatnonzero(is_read)
        order, rows = reading_order(quads[places])
        places = places[order]
        spans = np.diff([started, ready, found, perf_counter()]) * 1000
        return PageText(
            quads_xy=quads[places],
            texts=tuple(answers[place].text for place in places.tolist()),
            scores=scores[places],
            box_scores=box_scores[places],
            rows=rows,
            picture_wh=picture.size,
            timings=Timings(*spans.tolist()),
        )


def _is_seen(quads: FloatArray) -> FloatArray:
    """[n]: whether at least a pixel's height and width of each quad lies in the picture."""
    sides = np.linalg.norm(np.roll(quads, -1, axis=1) - quads, axis=2)
    is_seen: FloatArray = sides.min(axis=1, initial=np.inf) >= 1
    return is_seen
