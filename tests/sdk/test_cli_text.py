"""`edgewise run` with a detector and a recogniser of text, as its user meets it."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sdk.test_cli import edgewise
from sdk.test_text_real import ERROR_SHARE, PAGE, edits, page_of


@pytest.fixture
def words(tinyocr: Path) -> list[str]:
    """PP-OCRv6 tiny as the command is given it, without a picture."""
    return [str(tinyocr / "PP-OCRv6_det_tiny.onnx"), "--recogniser", str(tinyocr / "PP-OCRv6_rec_tiny.onnx")]


def test_run_shows_lines_in_reading_order_and_draws_them(
    words: list[str], page_photo: Path, tmp_path: Path
) -> None:
    done = edgewise("run", *words, page_photo, "--draw", tmp_path / "drawn.png")
    assert (done.returncode, done.stderr) == (0, "")
    first, *lines = done.stdout.splitlines()
    assert first.startswith(str(page_photo))
    found = [re.fullmatch(r"  (0\.\d{3}|1\.000)  (.*)  at (\d+),(\d+)", line) for line in lines]
    matches = [match for match in found if match]
    assert len(matches) == len(lines) == 7
    text = "\n".join(match[2] for match in matches[:6])
    assert edits(text, PAGE) <= ERROR_SHARE * len(PAGE)
    tops = [int(match[4]) for match in matches]
    assert tops == sorted(tops)
    with Image.open(tmp_path / "drawn.png") as drawn, Image.open(page_photo) as photo:
        assert drawn.size == photo.size
        assert np.ptp(np.asarray(drawn.convert("RGB"), int), axis=2).max() > 50  # colour on a grey page


def test_run_gives_lines_as_json_and_goes_on_behind_a_broken_picture(
    words: list[str], page_photo: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    done = edgewise("run", *words, tmp_path / "broken.png", page_photo, "--json")
    broken, page = map(json.loads, done.stdout.splitlines())
    assert done.returncode == 1
    assert done.stderr == f"error: {broken['error']}\n"
    assert page["input"] == str(page_photo)
    assert edits("\n".join(page["text"].split("\n")[:6]), PAGE) <= ERROR_SHARE * len(PAGE)
    assert all(0.5 <= line["score"] <= 1 and len(line["quad_xy"]) == 4 for line in page["lines"])


def test_run_turns_lines_round_and_leaves_out_those_of_a_low_score(
    words: list[str], rapidocr: Path, tmp_path: Path
) -> None:
    page_of(["Invoice number 4711"], 180).save(tmp_path / "head.png")
    direction = rapidocr / "ch_ppocr_mobile_v2.0_cls_infer.onnx"
    done = edgewise("run", *words, tmp_path / "head.png", "--direction", direction)
    assert re.search(r"^  0\.9\d\d  Invoice number 4711  at", done.stdout, re.MULTILINE)
    done = edgewise("run", *words, tmp_path / "head.png", "--direction", direction, "--min-score", 1)
    assert done.stdout.splitlines()[1:] == ["  no text found"]


def test_run_says_which_model_is_none_for_text_and_which_options_do_not_go_together(
    words: list[str], page_photo: Path, tiny: Path
) -> None:
    for arguments, code, message in (
        ([*words[:1], "--recogniser", words[0]], 1, "is it a text recogniser (CTC)?"),
        ([tiny, *words[1:]], 1, "is it a text detector (DB)?"),
        ([*words, "--direction", tiny], 1, "whether a line is upright or upside down"),
        ([*words, "--min-score", 60], 1, "score_threshold: got 60.0, expected 0 to 1"),
        ([*words, "--top", 3], 2, "it goes without --head and --top"),
        ([*words, "--head", "nms"], 2, "it goes without --head and --top"),
        ([words[0], "--direction", words[0]], 2, "it needs --recogniser"),
    ):
        done = edgewise("run", *arguments, page_photo)
        assert (done.returncode, done.stdout) == (code, ""), done.stderr
        assert message in " ".join(done.stderr.split()), done.stderr
