"""What a model file says about the boxes that its network answers with."""

from dataclasses import dataclass

from edgewise.errors import CardError

YOLOV8, YOLOV5, SSD, NMS, YUNET, BLAZEFACE = "yolov8", "yolov5", "ssd", "nms", "yunet", "blazeface"
HEADS = (YOLOV8, YOLOV5, SSD, NMS, YUNET, BLAZEFACE)


@dataclass(frozen=True)
class DetectionCard:
    """Which head the network ends with, and which of its boxes count."""

    head: str
    """One of HEADS; docs/sdk.md has what each one's outputs look like."""
    score_threshold: float | None = None
    """Boxes of a lower score, 0 to 1, are dropped; by default the head's, see docs/sdk.md."""
    overlap_threshold: float | None = None
    """Of two boxes of one class whose intersection over union, 0 to 1, is larger, the better one stays."""
    keypoints: int = 0
    """How many points per box yolov8 and nms answer with; the face detectors' heads know theirs."""
    is_class_agnostic: bool = False
    """Whether a box also suppresses those of other classes."""

    def __post_init__(self) -> None:
        if self.head not in HEADS:
            raise CardError(f"head: got {self.head!r}, expected one of {', '.join(map(repr, HEADS))}")
        check_thresholds(self.score_threshold, self.overlap_threshold)
        if self.keypoints < 0:
            raise CardError(f"keypoints: got {self.keypoints}, expected at least 0")


def check_thresholds(score: float | None, overlap: float | None) -> None:
    """Raise CardError unless both are unset or within 0 to 1."""
    for what, value in (("score_threshold", score), ("overlap_threshold", overlap)):
        if value is not None and not 0 <= value <= 1:
            raise CardError(f"{what}: got {value}, expected 0 to 1")
