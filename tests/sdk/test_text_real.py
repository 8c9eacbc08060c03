"""PP-OCR's networks on a photo of a page and on drawn text; boxes against RapidOCR's own post-processing."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.tools import update_model_dims
from PIL import Image, ImageDraw, ImageFont

import edgewise
from edgewise.errors import CardError, InvalidInput
from edgewise.preprocess.picture import upright
from edgewise.tasks.text.networks import MapNetwork
from edgewise.tasks.text.options import PAGE_INPUT
from edgewise.tasks.text.text_map import quads_of
from model_sources.environments import environment

PAGE = """Region-based segmentation
Let us first determine markers of the coins and the
background. These markers are pixels that we can label
unambiguously as either object or background. Here,
the markers are found at the two extreme parts of the
histogram of grey values:"""
"""The lines that the photo shows whole, read by eye; the last one is cut off below."""
ERROR_SHARE = 0.01
"""Of the page's 264 characters: two may be wrong on another machine's arithmetic; here none is."""
OVERLAP = 0.93
"""The reference rounds a quad to whole cells twice (pyclipper), and a line is about 20 of them high."""
SCORE = 1e-3
"""On a slanting border OpenCV's line meets a few of a few thousand cells that ours does not; measured: 3.3e-4."""

REFERENCE = """
import json, sys
import numpy as np
from rapidocr_onnxruntime.ch_ppocr_det.utils import DBPostProcess
from shapely.geometry import Polygon
found = np.load(sys.argv[1])
text_map = found["text_map"]
fine = tuple(side * 64 for side in text_map.shape)  # it rounds to whole pixels of the picture
decode = DBPostProcess(thresh=0.3, box_thresh=0.6, unclip_ratio=1.5)
quads, scores = decode(text_map[None, None], fine)
pairs = []
for quad, score in zip(np.array(quads) / 64 + 0.5, scores):  # its pixels are points, ours are areas
    reference = Polygon(quad)
    ours = [Polygon(np.clip(one, 0.5, np.array(text_map.shape[::-1]) + 0.5)) for one in found["quads"]]
    shares = [one.intersection(reference).area / one.union(reference).area for one in ours]
    best = int(np.argmax(shares))
    pairs.append((shares[best], abs(float(score) - float(found["scores"][best]))))
print(json.dumps(pairs))
"""


@pytest.fixture
def reader(tinyocr: Path) -> Iterator[edgewise.TextReader]:
    """PP-OCRv6 tiny, sizes open."""
    with (
        edgewise.load(tinyocr / "PP-OCRv6_det_tiny.onnx") as detector,
        edgewise.load(tinyocr / "PP-OCRv6_rec_tiny.onnx") as recogniser,
    ):
        yield edgewise.TextReader(detector, recogniser)


def edits(one: str, other: str) -> int:
    """Levenshtein's distance."""
    row = list(range(len(other) + 1))
    for index, left in enumerate(one, start=1):
        corner, row[0] = row[0], index
        for place, right in enumerate(other, start=1):
            corner, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, corner + (left != right))
    return row[-1]


def page_of(lines: list[str], angle: float = 0) -> Image.Image:
    """Text on white paper, turned counter-clockwise."""
    page = Image.new("RGB", (640, 80 + 60 * len(lines)), "white")
    for number, line in enumerate(lines):
        ImageDraw.Draw(page).text((60, 40 + 60 * number), line, "black", ImageFont.load_default(32))
    return page.rotate(angle, expand=True, fillcolor="white", resample=Image.Resampling.BICUBIC)


def meter_of(digits: str) -> Image.Image:
    """A counter, white on black."""
    meter = Image.new("RGB", (240, 60), "black")
    ImageDraw.Draw(meter).text((20, 8), digits, "white", ImageFont.load_default(40))
    return meter


def test_a_photo_of_a_page_is_read(reader: edgewise.TextReader, page_photo: Path) -> None:
    page = reader.read(page_photo)
    got = "\n".join(page.text.split("\n")[:6])
    assert edits(got, PAGE) <= ERROR_SHARE * len(PAGE)
    assert page.rows.tolist() == list(range(7))
    assert page.picture_wh == (384, 191)
    values = json.loads(json.dumps(page.to_dict()))
    assert (
        values["lines"][0]["text"] == "Region-based segmentation" and len(values["lines"][0]["quad_xy"]) == 4
    )
    assert len(page.lines()) == len(page) == 7
    assert page.latency_ms > 0
    drawn = np.asarray(page.draw(page_photo))
    assert np.ptp(drawn.astype(int), axis=2).max() > 50  # colour on a grey page
    with pytest.raises(InvalidInput, match="got a picture of"):
        page.draw(Image.new("RGB", (5, 5)))


def test_pp_ocrv4_finds_every_line_of_the_photo(rapidocr: Path, page_photo: Path) -> None:
    """Spaces aside, of which its recogniser leaves out some. PaddleOCR's threshold misses some of the seven lines."""
    with (
        edgewise.load(rapidocr / "ch_PP-OCRv4_det_infer.onnx") as detector,
        edgewise.load(rapidocr / "ch_PP-OCRv4_rec_infer.onnx") as recogniser,
    ):
        page = edgewise.TextReader(detector, recogniser).read(page_photo)
        strict = edgewise.TextOptions(box_threshold=0.6)
        assert len(edgewise.TextReader(detector, recogniser, options=strict).read(page_photo)) < 7
    got, want = ("".join("".join(lines).split()) for lines in (page.texts[:6], PAGE))
    assert edits(got, want) <= ERROR_SHARE * len(want)
    assert len(page) == 7


@pytest.mark.parametrize("angle", [0, 8, -20, 40])
def test_turned_lines_are_read(reader: edgewise.TextReader, angle: float) -> None:
    lines = ["Invoice 4711", "Total 129.50"]
    found = reader.read(page_of(lines, angle))
    texts = sorted(found.texts)
    assert texts == sorted(lines)


def test_a_line_on_its_side_and_one_on_its_head_are_read(tinyocr: Path, rapidocr: Path) -> None:
    with (
        edgewise.load(tinyocr / "PP-OCRv6_det_tiny.onnx") as detector,
        edgewise.load(tinyocr / "PP-OCRv6_rec_tiny.onnx") as recogniser,
        edgewise.load(rapidocr / "ch_ppocr_mobile_v2.0_cls_infer.onnx") as direction,
    ):
        reader = edgewise.TextReader(detector, recogniser, direction=direction)
        for angle in (-90, 180):
            assert reader.read(page_of(["Invoice number 4711"], angle)).texts == ("Invoice number 4711",)


def test_a_meter_is_read_as_one_line(tinyocr: Path) -> None:
    with edgewise.load(tinyocr / "PP-OCRv6_rec_tiny.onnx") as recogniser:
        line = edgewise.LineReader(recogniser).read_line(meter_of("0048213.7"))
    assert line.text == "0048213.7" and line.score > 0.9 and line.quad_xy is None


def test_an_empty_page_says_nothing(reader: edgewise.TextReader) -> None:
    page = reader.read(Image.new("RGB", (300, 200), "white"))
    assert (len(page), page.text, page.quads_xy.shape, page.lines()) == (0, "", (0, 4, 2), ["no text found"])


def test_files_of_fixed_size_read_the_same_text(tinyocr: Path, tmp_path: Path) -> None:
    paths = []
    for name, size, ends in (("det", [1, 3, 320, 640], ["h", "w"]), ("rec", [1, 3, 48, 320], ["t", 6906])):
        model = onnx.load(tinyocr / f"PP-OCRv6_{name}_tiny.onnx")
        out = [1, 1, *ends] if name == "det" else [1, *ends]
        fixed = update_model_dims.update_inputs_outputs_dims(model, {"x": size}, {"fetch_name_0": out})
        paths.append(tmp_path / f"{name}.onnx")
        onnx.save(fixed, paths[-1])
    lines = ["the quick brown fox jumps over", "Total 129.50"]
    with edgewise.load(paths[0]) as detector, edgewise.load(paths[1]) as recogniser:
        page = edgewise.TextReader(detector, recogniser).read(page_of(lines))
    assert page.texts == tuple(lines)


def test_lines_are_where_the_reference_finds_them(tinyocr: Path, page_photo: Path, tmp_path: Path) -> None:
    options = edgewise.TextOptions(box_threshold=0.6, shortest_px=384)  # as in REFERENCE
    with edgewise.load(tinyocr / "PP-OCRv6_det_tiny.onnx") as detector:
        network = MapNetwork(detector, PAGE_INPUT, None)
        text_map = network.run(network.prepare(upright(page_photo), options))
    quads, scores = quads_of(text_map, options)
    np.savez(tmp_path / "found.npz", text_map=text_map, quads=quads, scores=scores)
    python = environment("rapidocr", ["rapidocr-onnxruntime==1.4.4", "numpy<2.3"])
    command = [python, "-c", REFERENCE, tmp_path / "found.npz"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    pairs = json.loads(done.stdout)
    assert len(pairs) == len(quads) >= 6
    for share, off in pairs:
        assert share > OVERLAP and off < SCORE


def test_other_models_are_told_apart(tinyocr: Path, yunet: Path) -> None:
    with (
        edgewise.load(tinyocr / "PP-OCRv6_det_tiny.onnx") as detector,
        edgewise.load(tinyocr / "PP-OCRv6_rec_tiny.onnx") as recogniser,
        edgewise.load(yunet) as faces,
    ):
        with pytest.raises(CardError, match="is it a text recogniser"):
            edgewise.TextReader(detector, detector)
        with pytest.raises(CardError, match="1 inputs and 12 outputs, expected one picture and one output"):
            edgewise.TextReader(faces, recogniser)
        with pytest.raises(CardError, match="got 3 characters for 6906 classes"):
            edgewise.LineReader(recogniser, characters="abc")
