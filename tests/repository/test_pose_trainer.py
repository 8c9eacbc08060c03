"""examples/pose_trainer.py counts bends of made-up arms that move, tremble, are misread and leave the picture."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from sdk.detection_files import card_for

import edgewise
from edgewise.model_card import POSE_ESTIMATION, ImagePreprocess
from edgewise.pose_card import PoseCard
from edgewise.tensors import Array

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "pose_trainer.py"
SHOULDER, ELBOW, WRIST = 5, 7, 9
AWAY = None
"""In the place of an angle: nobody is in the picture."""
STRAIGHT, BENT = 170.0, 30.0


def points_of(angle_deg: float | None) -> Array:
    """MoveNet's answer [17, 3] of y, x and score."""
    points = np.full((17, 3), 0.5, np.float32)
    points[:, 2] = 0.9 if angle_deg is not None else 0.05
    turn = np.radians(angle_deg or 0.0)
    points[SHOULDER, :2], points[ELBOW, :2] = (0.2, 0.5), (0.5, 0.5)
    points[WRIST, :2] = 0.5 - 0.3 * np.cos(turn), 0.5 + 0.3 * np.sin(turn)
    return points


def write_film(folder: Path, frames: Sequence[Array]) -> list[str | Path]:
    """A model, and a folder of pictures so grey as their numbers; the model looks up each one's points by that."""
    table = np.stack(frames)[:, np.newaxis]
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMax", ["image"], ["grey"], keepdims=0),
            helper.make_node("Cast", ["grey"], ["number"], to=TensorProto.INT64),
            helper.make_node("Gather", ["table", "number"], ["row"]),
            helper.make_node("Reshape", ["row", "shape"], ["points"]),
        ],
        "film",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 64, 64, 3])],
        [helper.make_tensor_value_info("points", TensorProto.FLOAT, [1, 1, 17, 3])],
        [numpy_helper.from_array(table, "table"), numpy_helper.from_array(np.array([1, 1, 17, 3]), "shape")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    network = model.SerializeToString()
    card = card_for(network, ImagePreprocess((64, 64)), task=POSE_ESTIMATION)
    edgewise.write_model(folder / "film.onnx", network, card=replace(card, pose=PoseCard("movenet")))
    (folder / "film").mkdir()
    for number in range(len(frames)):
        Image.new("RGB", (64, 64), (number,) * 3).save(folder / "film" / f"{number:03}.png")
    return [folder / "film.onnx", folder / "film"]


def lines_of(folder: Path, frames: Sequence[Array]) -> list[str]:
    """What the example prints about these."""
    words = [sys.executable, EXAMPLE, *write_film(folder, frames)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def bends_of(folder: Path, angles: Sequence[float | None]) -> int:
    lines = lines_of(folder, [points_of(angle) for angle in angles])
    return int(lines[-1].split(", ")[1].split()[0])


def cycles(count: int, low: float = BENT, high: float = STRAIGHT) -> list[float]:
    """So many times from ``high`` to ``low`` and back, twenty pictures each, and stillness behind them."""
    turn = np.arange(20 * count) * 2 * np.pi / 20
    moving: list[float] = ((high + low) / 2 + (high - low) / 2 * np.cos(turn)).tolist()
    return [*moving, high, high, high]


def noise(angles: Sequence[float], deg: float) -> list[float]:
    drawn = np.random.default_rng(0).normal(0, deg, len(angles))
    return [float(np.clip(angle + off, 0, 180)) for angle, off in zip(angles, drawn, strict=True)]


def test_it_shows_the_angle_from_the_third_picture_on(tmp_path: Path) -> None:
    lines = lines_of(tmp_path, [points_of(90.0)] * 4)
    assert lines == ["2: 90 degrees, 0 bends", "3: 90 degrees, 0 bends"]


@pytest.mark.parametrize("deg", [0, 5, 10])
def test_each_bend_counts_once_however_the_points_tremble(tmp_path: Path, deg: float) -> None:
    assert bends_of(tmp_path, noise(cycles(4), deg)) == 4


def test_half_a_bend_is_none_and_trembling_at_the_thresholds_is_one(tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    assert bends_of(tmp_path / "half", cycles(3, low=80)) == 0
    unsure = [*[STRAIGHT] * 3, *noise([60] * 30, 8), *[100.0] * 10, *noise([140] * 30, 8), *[STRAIGHT] * 3]
    assert bends_of(tmp_path, unsure) == 1


def test_a_single_misread_picture_is_no_bend(tmp_path: Path) -> None:
    angles = [STRAIGHT] * 40
    angles[0] = angles[10] = angles[20] = angles[39] = 20.0
    assert bends_of(tmp_path, angles) == 0


def test_who_leaves_with_a_bent_arm_begins_anew_and_a_short_gap_is_none(tmp_path: Path) -> None:
    bent, straight = [BENT] * 5, [STRAIGHT] * 5
    for name, gap, want in (("left", 8, 0), ("hidden", 3, 1)):
        (tmp_path / name).mkdir()
        assert bends_of(tmp_path / name, [*straight, *bent, *[AWAY] * gap, *straight]) == want
    (tmp_path / "back").mkdir()
    assert bends_of(tmp_path / "back", [*cycles(2), *[AWAY] * 10, *cycles(1)]) == 3


def test_an_arm_whose_wrist_is_hidden_counts_for_nothing(tmp_path: Path) -> None:
    frames = [points_of(angle) for angle in [STRAIGHT] * 3 + cycles(2)]
    for frame in frames[3:]:
        frame[WRIST, 2] = 0.1
    assert lines_of(tmp_path, frames) == ["2: 170 degrees, 0 bends"]
