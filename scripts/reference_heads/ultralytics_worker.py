"""What the packages ultralytics and yolov5 make of raw outputs, with torchvision's suppression."""

from typing import Any

import numpy as np
import torch
import torchvision  # noqa: F401  ultralytics asks whether it is imported
from ultralytics.utils import nms, ops
from yolov5.utils import general

from reference_heads.exchange import Answer, serve


def decode(facts: dict[str, Any], raw: dict[str, np.ndarray], picture_wh: tuple[int, int]) -> Answer:
    """As the predictors of these packages do it: best class of a box, at most 300 boxes, scaled to the picture."""
    out = torch.from_numpy(raw["out"])
    asked = {
        "conf_thres": facts["score"],
        "iou_thres": facts["overlap"],
        "agnostic": facts["is_class_agnostic"],
        "max_det": 300,
    }
    if facts["head"] == "yolov5":
        (rows,) = general.non_max_suppression(out, **asked)
    else:
        (rows,) = nms.non_max_suppression(out, nc=facts["classes"], end2end=facts["head"] == "nms", **asked)
    scale = general.scale_boxes if facts["head"] == "yolov5" else ops.scale_boxes
    input_hw, picture_hw = facts["input_wh"][::-1], picture_wh[::-1]
    boxes = scale(input_hw, rows[:, :4].clone(), picture_hw)
    answer = {
        "boxes": boxes.numpy(),
        "scores": rows[:, 4].numpy(),
        "classes": rows[:, 5].numpy().astype(np.int64),
    }
    if facts["keypoints"]:
        points = rows[:, 6:].reshape(len(rows), facts["keypoints"], 3)
        answer["points"] = ops.scale_coords(input_hw, points[..., :2].clone(), picture_hw).numpy()
        answer["point_scores"] = points[..., 2].numpy()
    return answer


if __name__ == "__main__":
    serve(decode)
