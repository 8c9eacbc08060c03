"""Raw outputs of the heads for body points."""

from collections.abc import Iterator

import numpy as np

from reference_heads.raw_outputs import SQUARE, TALL, WIDE, Case, steps

BODY_WH = (192, 256)
"""What mmpose's top-down networks take."""
KEYPOINTS = 17


def point_cases() -> Iterator[Case]:
    """heatmap, simcc, movenet and movenet-multipose."""
    rng = np.random.default_rng(11)
    maps = _bumps(rng, 48, 64)
    # Peaks on the border, beside it and in the corners, where references differ from plain formulas.
    for point, (y, x) in enumerate(
        ((0, 20), (63, 20), (30, 0), (30, 47), (1, 20), (30, 1), (62, 46), (1, 1), (0, 0))
    ):
        maps[0, point] = 0
        maps[0, point, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] = steps(
            rng.uniform(0.1, 0.6, (3, 3)), 1 / 64
        )[: min(y, 1) + 1 + (y < 63), : min(x, 1) + 1 + (x < 47)]
        maps[0, point, y, x] = 0.75
    maps[0, 9, 40, 30] = maps[0, 9, 20, 10] = 1  # two equal peaks
    yield Case("heatmap", "bumps", {"out": maps}, BODY_WH, (BODY_WH,), keypoints=KEYPOINTS)
    blank = maps[:, :8].copy()
    blank[0, :4] = 0
    blank[0, 4:6] = -0.5
    yield Case("heatmap", "blank", {"out": blank}, BODY_WH, (BODY_WH,), keypoints=8)
    across, down = _bumps(rng, 384, 1)[:, :, 0], _bumps(rng, 512, 1)[:, :, 0]
    across[0, 0, [7, 300]] = 2.0  # two equal peaks
    raw = {"simcc_x": across, "simcc_y": down}
    yield Case("simcc", "bumps", raw, BODY_WH, (BODY_WH,), keypoints=KEYPOINTS)
    dark = {"simcc_x": across[:, :5].copy(), "simcc_y": down[:, :5].copy()}
    dark["simcc_x"][0, :2] = -0.25
    dark["simcc_y"][0, 1:3] = -0.5
    yield Case("simcc", "blank", dark, BODY_WH, (BODY_WH,), keypoints=5)
    for name, most in (("body", 1.0), ("dim", 0.3)):
        points = steps(rng.random((1, 1, KEYPOINTS, 3)) * [1, 1, most], 1 / 4096)
        pictures = (SQUARE, WIDE, TALL)
        yield Case("movenet", name, {"out": points}, (192, 192), pictures, score=1e-6, keypoints=KEYPOINTS)
    rows = steps(rng.random((1, 6, 56)), 1 / 4096)
    rows[0, :, 51:55].sort(axis=1)
    rows[0, :, 55] = (0.9, 0.05, 0.5, 0.0, 0.25, 0.2)
    yield Case(
        "movenet-multipose", "six", {"out": rows}, (256, 256), ((256, 256), (512, 512)), keypoints=KEYPOINTS
    )


def _bumps(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """[1, k, height, width]: one smooth peak each, with noise."""
    x, y = np.arange(width), np.arange(height)[:, np.newaxis]
    maps = []
    for centre_x, centre_y in rng.uniform(0, 1, (KEYPOINTS, 2)) * (width - 1, height - 1):
        far = ((x - centre_x) / (width / 16)) ** 2 + ((y - centre_y) / (max(height, 16) / 16)) ** 2
        maps.append(rng.uniform(0.3, 1) * np.exp(-far / 2) + rng.uniform(0, 0.004, (height, width)))
    return steps(np.stack(maps), 1 / 256)[np.newaxis]
