"""What the package mmpose makes of heatmaps and SimCC rows."""

from typing import Any

import numpy as np
from mmpose.codecs import MSRAHeatmap, SimCCLabel

from reference_heads.exchange import Answer, serve


def decode(facts: dict[str, Any], raw: dict[str, np.ndarray], picture_wh: tuple[int, int]) -> Answer:
    """By the codecs that its configurations name for SimpleBaseline, HRNet and RTMPose."""
    if facts["head"] == "simcc":
        codec = SimCCLabel(input_size=facts["input_wh"], simcc_split_ratio=2.0)
        points, scores = codec.decode(raw["simcc_x"], raw["simcc_y"])
    else:
        maps = raw["out"][0]
        codec = MSRAHeatmap(input_size=facts["input_wh"], heatmap_size=maps.shape[:0:-1], sigma=2)
        points, scores = codec.decode(maps)
    return {"points": points, "point_scores": scores}


if __name__ == "__main__":
    serve(decode)
