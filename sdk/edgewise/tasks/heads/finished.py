"""Networks that choose their boxes themselves: suppression is part of the graph."""

from collections.abc import Sequence

import numpy as np

from edgewise.detection_card import NMS, SSD
from edgewise.errors import InvalidInput
from edgewise.tasks.heads.base import Candidates, Facts, mismatch
from edgewise.tensors import FloatArray


class SsdHead:
    """The four outputs of TFLite_Detection_PostProcess: boxes, classes, scores, count.

    Boxes [1, n, 4] are top, left, bottom, right as shares of the input, classes [1, n] count from 0 without
    the background, count [1] says how many of the n are meant; the others may be anything, also NaN
    (tensorflow/lite/kernels/detection_postprocess.cc). Where the file has them in another order, their names
    say which are which. The default score is a choice of ours: the operator's own threshold lies in the file.
    """

    name = SSD
    score_threshold = 0.5
    overlap_threshold: float | None = None
    labels: tuple[str, ...] = ()

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def decode(self, outputs: Sequence[FloatArray], min_score: float) -> Candidates:
        """See `Head.decode`."""
        boxes, classes, scores, count = self._in_order(outputs)
        number = min(max(int(np.nan_to_num(count.ravel()[0])), 0), boxes.shape[1])
        boxes, classes, scores = boxes[0, :number], classes[0, :number], scores[0, :number]
        if any(np.isnan(meant).any() for meant in (boxes, classes, scores)):
            raise InvalidInput("head 'ssd': the model gave NaN for this picture")
        keep = scores >= min_score
        sides = np.array(self._facts.input_wh * 2, np.float32)
        return Candidates(
            boxes[keep][:, [1, 0, 3, 2]] * sides, scores[keep], np.rint(classes[keep]).astype(np.int64)
        )

    def _in_order(self, outputs: Sequence[FloatArray]) -> list[FloatArray]:
        ranks = [output.ndim for output in outputs]
        if sorted(ranks) != [1, 2, 2, 3]:
            raise mismatch(self.name, outputs, "boxes [1, n, 4], classes [1, n], scores [1, n] and count [1]")
        boxes, count = outputs[ranks.index(3)], outputs[ranks.index(1)]
        pair = [place for place, rank in enumerate(ranks) if rank == 2]
        if boxes.shape[0] != 1 or boxes.shape[2] != 4 or count.size != 1:
            raise mismatch(self.name, outputs, "boxes [1, n, 4] and count [1]")
        if any(outputs[place].shape != boxes.shape[:2] for place in pair):
            raise mismatch(self.name, outputs, f"classes and scores {list(boxes.shape[:2])}")
        named = [place for place in pair if "score" in self._facts.output_names[place].lower()]
        if len(named) == 1:
            pair = [place for place in pair if place != named[0]] + named
        elif ranks != [3, 2, 2, 1]:
            names = ", ".join(f"'{name}'" for name in self._facts.output_names)
            raise mismatch(
                self.name,
                outputs,
                f"boxes, classes, scores, count in this order, or a name with 'score' ({names})",
            )
        return [boxes, outputs[pair[0]], outputs[pair[1]], count]


class FinishedHead:
    """One output of finished boxes, in pixels of the input.

    [n, 6] or [1, n, 6]: left, top, right, bottom, score, class, as YOLOv10 and Ultralytics' exports with
    nms=True give; k keypoints of x, y, visibility may follow. [n, 7]: picture's number in the batch, left,
    top, right, bottom, class, score, as YOLOv7's end-to-end ONNX files give. Rows of score 0 are padding.
    The default score is Ultralytics', and as there only more than it passes.
    """

    name = NMS
    score_threshold = 0.25
    overlap_threshold: float | None = None
    labels: tuple[str, ...] = ()

    def __init__(self, facts: Facts) -> None:
        self._keypoints = facts.keypoints

    def decode(self, outputs: Sequence[FloatArray], min_score: float) -> Candidates:
        """See `Head.decode`."""
        width = 6 + 3 * self._keypoints
        expected = f"[n, {width}] or [1, n, {width}]" + ("" if self._keypoints else " or [n, 7]")
        if len(outputs) != 1:
            raise mismatch(self.name, outputs, expected)
        rows = outputs[0][0] if outputs[0].ndim == 3 and outputs[0].shape[0] == 1 else outputs[0]
        if outputs[0].ndim == 2 and rows.shape[1] == 7 and not self._keypoints:
            rows = rows[rows[:, 0] == 0][:, [1, 2, 3, 4, 6, 5]]
        elif rows.ndim != 2 or rows.shape[1] != width:
            raise mismatch(self.name, outputs, expected)
        rows = rows[rows[:, 4] > min_score]
        points = rows[:, 6:].reshape(len(rows), self._keypoints, 3)[:, :, :2] if self._keypoints else None
        return Candidates(rows[:, :4], rows[:, 4], np.rint(rows[:, 5]).astype(np.int64), points)
