"""What a model file says about the body points that its network answers with."""

from dataclasses import dataclass

from edgewise.detection_card import YOLOV8, check_thresholds
from edgewise.errors import CardError

MOVENET, MOVENET_MULTIPOSE, HEATMAP, SIMCC = "movenet", "movenet-multipose", "heatmap", "simcc"
POSE_HEADS = (YOLOV8, MOVENET, MOVENET_MULTIPOSE, HEATMAP, SIMCC)
COCO_NAMES = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
"""COCO's person keypoints (person_keypoints_val2017.json, categories)."""
COCO_SKELETON = (
    (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8), (7, 9), (8, 10),
    (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
)  # fmt: skip
"""The same categories' skeleton, counted from 0."""
_KEYPOINTS_LIMIT = 1000


@dataclass(frozen=True)
class PoseCard:
    """Which head the network ends with, and what its points are."""

    head: str
    """One of POSE_HEADS; docs/sdk.md has what each one's outputs look like."""
    keypoints: int = 17
    """How many of each body."""
    names: tuple[str, ...] = ()
    """Of the points; by default COCO's where there are 17."""
    skeleton: tuple[tuple[int, int], ...] = ()
    """Pairs of points that a line joins, counted from 0; by default COCO's where there are 17 without other names."""
    score_threshold: float | None = None
    """Bodies of a lower score, 0 to 1, are dropped; by default the head's."""
    overlap_threshold: float | None = None
    """As in `DetectionCard`; for yolov8."""

    def __post_init__(self) -> None:
        if self.head not in POSE_HEADS:
            raise CardError(f"head: got {self.head!r}, expected one of {', '.join(map(repr, POSE_HEADS))}")
        check_thresholds(self.score_threshold, self.overlap_threshold)
        if not 1 <= self.keypoints <= _KEYPOINTS_LIMIT:
            raise CardError(f"keypoints: got {self.keypoints}, expected 1 to {_KEYPOINTS_LIMIT}")
        if self.head in (MOVENET, MOVENET_MULTIPOSE) and self.keypoints != len(COCO_NAMES):
            raise CardError(f"keypoints: got {self.keypoints}, expected 17, which {self.head} has")
        if len(self.names) not in (0, self.keypoints):
            raise CardError(f"names: got {len(self.names)}, expected one for each of {self.keypoints} points")
        for pair in self.skeleton:
            if not all(0 <= point < self.keypoints for point in pair):
                raise CardError(f"skeleton: got {list(pair)}, expected points of 0 to {self.keypoints - 1}")

    @property
    def point_names(self) -> tuple[str, ...]:
        """The names, said or not."""
        is_coco = self.keypoints == len(COCO_NAMES)
        return self.names or (
            COCO_NAMES if is_coco else tuple(f"#{point}" for point in range(self.keypoints))
        )

    @property
    def lines(self) -> tuple[tuple[int, int], ...]:
        """The skeleton, said or not."""
        return self.skeleton or (COCO_SKELETON if self.point_names == COCO_NAMES else ())
