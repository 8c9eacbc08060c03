"""`edgewise run` with a detector, as its user meets it."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sdk.detection_files import write_answering, write_yunet
from sdk.test_cli import edgewise


@pytest.fixture
def red(tmp_path: Path) -> Path:
    """A picture with nothing in it."""
    path = tmp_path / "red.png"
    Image.new("RGB", (20, 20), "red").save(path)
    return path


def test_run_shows_where_things_are_and_draws_them(
    yunet: Path, astronaut_photo: Path, red: Path, tmp_path: Path
) -> None:
    detector = write_yunet(tmp_path / "yunet.onnx", yunet)
    done = edgewise("run", detector, astronaut_photo, "--draw", tmp_path / "drawn.png")
    assert (done.returncode, done.stderr) == (0, "")
    first, face = done.stdout.splitlines()
    assert first.startswith(str(astronaut_photo))
    assert re.fullmatch(r"  0\.9\d\d  face  at 17\d,6\d to 2[67]\d,17\d", face)
    with Image.open(tmp_path / "drawn.png") as drawn, Image.open(astronaut_photo) as photo:
        assert drawn.size == photo.size
        assert 0 < np.not_equal(drawn, photo).any(axis=2).mean() < 0.05
    as_json = json.loads(edgewise("run", detector, astronaut_photo, "--json").stdout)
    assert as_json["detections"][0]["label"] == "face"
    assert len(as_json["detections"][0]["keypoints_xy"]) == 5
    assert "  nothing found" in edgewise("run", detector, red).stdout
    page = edgewise("inspect", detector).stdout
    assert "head yunet, scores of at least 0.6, overlaps of at most 0.3" in page


def test_run_is_told_the_head_and_the_least_score(tmp_path: Path, red: Path) -> None:
    boxes = np.array([[2, 2, 4, 4, 0.9, 0], [4, 4, 8, 8, 0.5, 1]], np.float32)
    path = write_answering(tmp_path / "a.onnx", {"out": boxes}, size_wh=(10, 10), task="tensors")
    done = edgewise("run", path, red, "--head", "nms")
    assert done.stdout.splitlines()[1:] == ["  0.900  #0  at 4,4 to 8,8", "  0.500  #1  at 8,8 to 16,16"]
    done = edgewise("run", path, red, "--head", "nms", "--min-score", 0.6)
    assert done.stdout.splitlines()[1:] == ["  0.900  #0  at 4,4 to 8,8"]
    for arguments, message in (
        ([], f"{path}: its task is 'tensors', predict() knows "),
        (["--head", "yolo"], "head: got 'yolo', expected one of 'yolov8', "),
        (["--head", "nms", "--min-score", 60], "score_threshold: got 60.0, expected 0 to 1"),
        (["--head", "yolov8"], f"{path}: head 'yolov8': got outputs [2, 6], expected one of [1, 4 + classes"),
    ):
        done = edgewise("run", path, red, *arguments)
        assert (done.returncode, done.stdout) == (1, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"error: {message}")


def test_draw_takes_one_picture_an_answer_that_can_be_drawn_and_a_name_it_can_write(
    tiny: Path, yunet: Path, red: Path, tmp_path: Path
) -> None:
    for inputs in ([red.parent], [red, red]):
        done = edgewise("run", tiny, *inputs, "--draw", tmp_path / "drawn.png")
        assert (done.returncode, done.stdout) == (2, "")
        assert "it takes one picture" in done.stderr
    detector = write_yunet(tmp_path / "yunet.onnx", yunet)
    for model, out, message in (
        (tiny, "drawn.png", "its answer is not one that can be drawn"),
        (detector, "drawn.nonsense", "cannot write the picture: unknown file extension"),
        (detector, "no/drawn.png", "does not exist"),
        (detector, "drawn", "unknown file extension: none"),
    ):
        done = edgewise("run", model, red, "--draw", tmp_path / out)
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert line.startswith("error: ") and message in line


def test_drawing_never_overwrites_what_is_read_and_writes_all_or_nothing(
    yunet: Path, red: Path, tmp_path: Path
) -> None:
    detector = write_yunet(tmp_path / "yunet.onnx", yunet)
    link = tmp_path / "link.png"
    link.symlink_to(red)
    before = red.read_bytes()
    for out in (red, link):
        done = edgewise("run", detector, red, "--draw", out)
        assert (done.returncode, done.stdout) == (1, "") and "never overwritten" in done.stderr
    assert red.read_bytes() == before
    assert edgewise("run", detector, red, "--draw", tmp_path / "new.jpg").returncode == 0
    assert sorted(path.suffix for path in tmp_path.glob("*new*")) == [".jpg"]
