"""From logits or class maps to a class for every pixel of the picture."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sdk.detection_files import write_answering

import edgewise
from edgewise.errors import CardError, InvalidInput
from edgewise.model_card import IMAGE_SEGMENTATION, ImagePreprocess
from edgewise.preprocess.geometry import View
from edgewise.tasks.base import Options, Setup
from edgewise.tasks.class_map import bilinear_classes, nearest
from edgewise.tasks.segmentation import UNSEEN, Segmenter, decode_runs, encode_runs
from edgewise.tasks.timings import Stopwatch
from edgewise.tensors import TensorSpec

LABELS = ("ground", "road", "sky")
IDS = np.array([[2, 2, 2, 2], [0, 0, 1, 1]])
"""Of a model that sees 8 x 4 pixels in cells of 2 x 2."""
LOGITS = np.float32(5) * (IDS[np.newaxis, :, :, np.newaxis] == np.arange(3)).astype(np.float32)
PICTURE = Image.new("RGB", (80, 40), "white")


def segment(
    tmp_path: Path, answer: np.ndarray, picture: Image.Image = PICTURE, **options: object
) -> edgewise.Segmentation:
    """What a model that answers so says about a picture."""
    path = write_answering(
        tmp_path / "a.onnx", {"out": answer}, size_wh=(8, 4), task=IMAGE_SEGMENTATION, labels=LABELS
    )
    with edgewise.load(path, **options) as model:  # type: ignore[arg-type]  # keywords by name, checked when called
        answer = model.predict(picture)
    assert isinstance(answer, edgewise.Segmentation)
    return answer


@pytest.mark.parametrize(
    "answer",
    [
        LOGITS,
        LOGITS.transpose(0, 3, 1, 2).copy(),
        IDS[np.newaxis],
        IDS[np.newaxis, :, :, np.newaxis],
        IDS[np.newaxis, np.newaxis],
    ],
    ids=["nhwc", "nchw", "map", "map-last", "map-first"],
)
def test_every_form_of_output_gives_the_same_map(tmp_path: Path, answer: np.ndarray) -> None:
    found = segment(tmp_path, answer)
    assert (found.class_map.shape, found.class_map.dtype) == ((40, 80), np.int16)
    assert np.array_equal(found.class_map, np.kron(IDS, np.ones((20, 20))))
    assert [(area.label, area.pixels, area.share) for area in found.areas] == [
        ("sky", 1600, 0.5),
        ("ground", 800, 0.25),
        ("road", 800, 0.25),
    ]


def test_a_letterbox_border_is_cut_off_and_what_a_crop_leaves_out_is_unseen(tmp_path: Path) -> None:
    square = Image.new("RGB", (40, 40), "white")
    boxed = segment(tmp_path, LOGITS, square, preprocess=ImagePreprocess((8, 4), "letterbox"))
    expected = np.kron(IDS[:, 1:3], np.ones((20, 20)))  # 4 of the 8 columns are the picture
    assert np.array_equal(boxed.class_map, expected)
    cropped = segment(tmp_path, LOGITS, square, preprocess=ImagePreprocess((8, 4), "centre-crop"))
    assert (cropped.class_map[:10] == UNSEEN).all() and (cropped.class_map[30:] == UNSEEN).all()
    assert np.array_equal(cropped.class_map[10:30], np.kron(IDS, np.ones((10, 10))))
    assert sum(area.pixels for area in cropped.areas) == 800


def interpolate_by_hand(scores: np.ndarray, x: float, y: float) -> np.ndarray:
    """Scores between the four cells around a point of the grid, plain arithmetic."""
    x, y = min(max(x - 0.5, 0), scores.shape[1] - 1), min(max(y - 0.5, 0), scores.shape[0] - 1)
    left, above = int(x), int(y)
    right, below = min(left + 1, scores.shape[1] - 1), min(above + 1, scores.shape[0] - 1)
    upper = scores[above, left] * (1 - (x - left)) + scores[above, right] * (x - left)
    lower = scores[below, left] * (1 - (x - left)) + scores[below, right] * (x - left)
    return upper * (1 - (y - above)) + lower * (y - above)


@pytest.mark.parametrize("seed", range(4))
def test_both_ways_to_the_picture_are_what_plain_arithmetic_gives(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(5, 7, 4)).astype(np.float32)
    view = View((37, 23), (28, 20), (1.5, 1.25), (-2.0, -1.0))
    smooth, hard = bilinear_classes(scores, view), nearest(scores.argmax(axis=2), view)
    for row in range(23):
        for column in range(37):
            x = (column + 0.5 + 2) / 1.5 / 4
            y = (row + 0.5 + 1) / 1.25 / 4
            assert smooth[row, column] == interpolate_by_hand(scores, x, y).argmax()
            assert hard[row, column] == scores[int(y), int(x)].argmax()


def test_bilinear_rounds_corners_that_nearest_leaves(tmp_path: Path) -> None:
    hard = segment(tmp_path, LOGITS)
    smooth = segment(tmp_path, LOGITS, mask_resample="bilinear")
    differ = hard.class_map != smooth.class_map
    assert 0 < differ.mean() < 0.2
    assert not differ[:10].any()
    with pytest.raises(CardError, match=r"a\.onnx: output 'out': mask_resample='bilinear' needs logits"):
        segment(tmp_path, IDS[np.newaxis], mask_resample="bilinear")
    with pytest.raises(CardError, match="mask_resample: got 'cubic', expected one of 'nearest', 'bilinear'"):
        segment(tmp_path, LOGITS, mask_resample="cubic")


def test_one_channel_needs_to_be_said_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="one channel is the foreground's logits or probabilities"):
        segment(tmp_path, LOGITS[:, :, :, :1].copy(), labels=["foreground"])


def test_outputs_that_are_no_mask_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CardError, match=r"image-segmentation: got outputs \[1, 5\], expected one of"):
        segment(tmp_path, np.zeros((1, 5), np.float32))
    with pytest.raises(CardError, match=r"got \[1, 5, 5, 5\], which may be"):
        segment(tmp_path, np.zeros((1, 5, 5, 5), np.float32))
    with pytest.raises(InvalidInput, match="the model gave NaN"):
        segment(tmp_path, np.full_like(LOGITS, np.nan))


def test_runs_are_the_map_again(tmp_path: Path) -> None:
    found = segment(tmp_path, LOGITS)
    values = json.loads(json.dumps(found.to_dict()))
    assert values["runs"][0] == [2, 1600]
    assert np.array_equal(decode_runs(values["runs"], values["picture_wh"]), found.class_map)
    rng = np.random.default_rng(0)
    for shape in ((1, 1), (3, 5), (0, 4), (40, 3)):
        class_map = rng.integers(-1, 2, shape).astype(np.int16)
        assert np.array_equal(decode_runs(encode_runs(class_map), shape[::-1]), class_map)
    with pytest.raises(InvalidInput, match="runs: got 1600 pixels, expected 5 x 5 = 25"):
        decode_runs([[2, 1600]], (5, 5))


def test_drawing_tints_all_but_the_background(tmp_path: Path) -> None:
    drawn = np.asarray(segment(tmp_path, LOGITS).draw(PICTURE))
    assert (drawn[20:, :40] == 255).all()
    assert (drawn[20:, 40:] == drawn[30, 50]).all() and drawn[30, 50].min() < 255
    assert (drawn[0, 0] != drawn[30, 50]).any()
    with pytest.raises(InvalidInput, match="expected the one that was looked at"):
        segment(tmp_path, LOGITS).draw(Image.new("RGB", (3, 3)))


def test_an_answer_reads_well(tmp_path: Path) -> None:
    found = segment(tmp_path, LOGITS)
    assert str(found).startswith("sky 50%, ground 25%, road 25% (")
    assert found.lines()[0] == " 50.0%  sky"


@pytest.mark.parametrize(("activation", "even"), [("logits", 0.0), ("probabilities", 0.5)])
@pytest.mark.parametrize("resample", ["nearest", "bilinear"])
def test_one_channel_is_foreground_above_even_odds(activation: str, even: float, resample: str) -> None:
    answer = np.array([[even - 0.25, even + 0.25]], np.float32).reshape(1, 1, 2, 1)
    spec = TensorSpec("out", answer.shape, "float32")
    setup = Setup(Path("a"), (2, 1), (spec,), activation, options=Options(mask_resample=resample))
    watch = Stopwatch()
    watch.lap()
    watch.lap()
    view = View((4, 2), (2, 1), (2.0, 2.0), (0.0, 0.0))
    found = Segmenter(setup).answer({"out": answer}, view, top=None, watch=watch)
    assert found.class_map.tolist() == [[0, 0, 1, 1]] * 2
