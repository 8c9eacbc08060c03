"""What MediaPipe's face detection graphs make of raw outputs: they run a network that answers with them.

The graph is the wheel's own; the network's path and the thresholds are put into its text. CASES.npz holds a
.tflite file for each case, as bytes.
"""

import re
import tempfile
from pathlib import Path
from typing import Any

import mediapipe
import numpy as np
from mediapipe.python._framework_bindings import resource_util, validated_graph_config
from mediapipe.python.solution_base import SolutionBase

from reference_heads.exchange import Answer, serve

GRAPHS = {128: "face_detection_short_range_cpu", 192: "face_detection_full_range_cpu"}
ROOT = Path(mediapipe.__file__).parent.parent


def decode(facts: dict[str, Any], raw: dict[str, np.ndarray], picture_wh: tuple[int, int]) -> Answer:
    """Boxes and points of the picture, after the graph's own weighted suppression."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answers.tflite"
        path.write_bytes(raw["tflite"].tobytes())
        graph = graph_text(facts["input_wh"][0])
        for field, value in (
            ("model_path", f'"{path}"'),
            ("min_score_thresh", facts["score"]),
            ("min_suppression_threshold", facts["overlap"]),
        ):
            graph, count = re.subn(rf"\b{field}: \S+", f"{field}: {value}", graph)
            assert count == 1, field
        detector = SolutionBase(graph_config=graph, outputs=["detections"])
        found = (
            detector.process({"image": np.zeros((picture_wh[1], picture_wh[0], 3), np.uint8)}).detections
            or []
        )
        detector.close()
    boxes = [one.location_data.relative_bounding_box for one in found]
    corners = np.array([(b.xmin, b.ymin, b.xmin + b.width, b.ymin + b.height) for b in boxes], np.float64)
    points = np.array(
        [[(p.x, p.y) for p in one.location_data.relative_keypoints] for one in found], np.float64
    )
    return {
        "boxes": corners.reshape(-1, 4) * np.tile(picture_wh, 2),
        "scores": np.array([one.score[0] for one in found], np.float32),
        "classes": np.zeros(len(found), np.int64),
        "points": points.reshape(-1, 6, 2) * picture_wh,
    }


def graph_text(side: int) -> str:
    """The wheel's graph for this size, its subgraphs put in."""
    resource_util.set_resource_dir(str(ROOT))
    graph = validated_graph_config.ValidatedGraphConfig()
    graph.initialize(
        binary_graph_path=str(ROOT / f"mediapipe/modules/face_detection/{GRAPHS[side]}.binarypb")
    )
    return str(graph.text_config)


if __name__ == "__main__":
    serve(decode)
