"""What a caller may say about reading text, and how pictures become the inputs of PP-OCR's networks."""

from dataclasses import dataclass

from edgewise.errors import CardError
from edgewise.model_card import ImagePreprocess

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
PAGE_INPUT = ImagePreprocess((960, 960), colour="bgr", mean=IMAGENET_MEAN, std=IMAGENET_STD, fill=127)
"""PaddleOCR configs/det/PP-OCRv4/ch_PP-OCRv4_det_student.yml: BGR, with ImageNet's numbers for RGB."""
LINE_INPUT = ImagePreprocess((320, 48), colour="bgr", mean=(127.5,), std=(127.5,), fill=127)
"""PaddleOCR ppocr/data/imaug/rec_img_aug.py, resize_norm_img: 48 high, at least 320 wide, the rest of it grey."""
DIRECTION_INPUT = ImagePreprocess((192, 48), colour="bgr", mean=(127.5,), std=(127.5,), fill=127)
"""PaddleOCR tools/infer/predict_cls.py, cls_image_shape."""


@dataclass(frozen=True)
class TextOptions:
    """Which regions are lines, and which lines count.

    The defaults are PaddleOCR's (tools/infer/utility.py), but for ``box_threshold``, with whose 0.6 there PP-OCRv4
    misses lines.
    """

    map_threshold: float = 0.3
    """Cells of the detector's map above it are text, 0 to 1."""
    box_threshold: float = 0.4
    """A line's rectangle needs this mean of the map, 0 to 1. Chosen by benchmarks/text_threshold.py (docs/sdk.md)."""
    unclip_ratio: float = 1.5
    """The network learns shrunk lines: their rectangle grows on each side by area * ratio / perimeter."""
    is_dilated: bool = False
    """Whether the text of the map grows by one cell to the right and down before it is cut into regions."""
    score_threshold: float = 0.5
    """Lines whose characters have a lower mean probability are left out, 0 to 1."""
    turn_threshold: float = 0.9
    """The direction model turns a line round from this probability on."""
    longest_px: int = 960
    """For a detector of open size: larger pictures are shrunk to this longer side."""
    shortest_px: int = 0
    """For a detector of open size: smaller pictures are enlarged to this shorter side, as far as the longer allows."""
    max_lines: int = 1000

    def __post_init__(self) -> None:
        for what in ("map_threshold", "box_threshold", "score_threshold", "turn_threshold"):
            _within(what, getattr(self, what), 0, 1)
        _within("unclip_ratio", self.unclip_ratio, 0, 10)
        _within("longest_px", self.longest_px, 32, 1 << 13)
        _within("shortest_px", self.shortest_px, 0, 1 << 13)
        _within("max_lines", self.max_lines, 1, 100_000)


def _within(what: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise CardError(f"{what}: got {value}, expected {low} to {high}")
