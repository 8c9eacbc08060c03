"""Which head decodes a model's outputs: a table, and a guess where the shapes leave no doubt."""

from collections.abc import Callable, Mapping, Sequence

from edgewise.detection_card import BLAZEFACE, HEADS, NMS, SSD, YOLOV5, YOLOV8, YUNET
from edgewise.errors import CardError
from edgewise.tasks.heads.base import Facts, Head, shapes_text
from edgewise.tasks.heads.faces import BLAZEFACE_ANCHORS, YUNET_STRIDES, BlazefaceHead, YunetHead
from edgewise.tasks.heads.finished import FinishedHead, SsdHead
from edgewise.tasks.heads.yolo import Yolov5Head, Yolov8Head

_DECODERS: Mapping[str, Callable[[Facts], Head]] = {
    YOLOV8: Yolov8Head,
    YOLOV5: Yolov5Head,
    SSD: SsdHead,
    NMS: FinishedHead,
    YUNET: YunetHead,
    BLAZEFACE: BlazefaceHead,
}


def open_head(name: str, facts: Facts) -> Head:
    """The decoder of this name. Raises CardError naming those there are."""
    if name not in _DECODERS:
        raise CardError(f"head: got {name!r}, expected one of {', '.join(map(repr, HEADS))}")
    return _DECODERS[name](facts)


def guess_head(shapes: Sequence[tuple[int, ...]], facts: Facts) -> str:
    """The only head that answers with these shapes, or "" when there is doubt.

    A YOLO is told only with labels: the count of classes and the count of boxes must both agree with it.
    """
    ranks = [len(shape) for shape in shapes]
    if ranks == [3, 2, 2, 1] and shapes[0][0] == 1 and shapes[0][2] == 4:
        return SSD
    if sorted(shapes) == _yunet_shapes(facts.input_wh):
        return YUNET
    if any(sorted(shapes) == [(1, count, 1), (1, count, 16)] for count in BLAZEFACE_ANCHORS):
        return BLAZEFACE
    if len(shapes) == 1 and ranks == [3] and facts.labels and not facts.keypoints:
        return _guess_yolo(shapes[0], facts)
    return ""


def _yunet_shapes(input_wh: tuple[int, int]) -> list[tuple[int, ...]]:
    cells = [(input_wh[0] // stride) * (input_wh[1] // stride) for stride in YUNET_STRIDES]
    return sorted((1, count, size) for count in cells for size in (1, 1, 4, 10))


def _guess_yolo(shape: tuple[int, ...], facts: Facts) -> str:
    width, height = facts.input_wh
    cells = sum((width // stride) * (height // stride) for stride in (8, 16, 32))
    classes = len(facts.labels)
    if shape in ((1, 4 + classes, cells), (1, cells, 4 + classes)):
        return YOLOV8
    return YOLOV5 if shape == (1, 3 * cells, 5 + classes) else ""


def head_unknown(shapes: Sequence[tuple[int, ...]]) -> CardError:
    """The error when neither the card, nor the caller, nor the shapes say the head."""
    return CardError(
        f"object-detection: outputs {shapes_text(shapes)} do not tell the head; give load() head= one of "
        f"{', '.join(map(repr, HEADS))}, or the card a DetectionCard"
    )
