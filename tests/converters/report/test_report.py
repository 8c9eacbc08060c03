"""The page about a conversion, written by real conversions and opened in a real browser."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from converters.onnx_cases import case, model_of
from PIL import Image

from edgewise_converters.errors import ConversionError
from edgewise_converters.pipeline import convert
from edgewise_converters.request import Request

PHONE_PX = 360
LABELS = tuple(f"<script>boo({i})</script> & <b>" for i in range(5))
NET = case(
    "a = Conv<pads=[1,1,1,1]>(x, w, b) c = Relu(a) d = GlobalAveragePool(c) e = Flatten(d) y = Gemm(e, v)",
    x=(1, 3, 16, 16), w=(8, 3, 3, 3), b=(8,), v=(8, 5),
)  # fmt: skip
MANY = 300
_VOID = {"meta", "link", "br", "img", "line", "circle", "polyline", "rect", "path"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier, photos and labels that would harm a careless page."""
    path = tmp_path_factory.mktemp("report")
    onnx.save(model_of(NET), path / "net.onnx")
    rng = np.random.default_rng(0)
    (path / "photos").mkdir()
    for i in range(12):
        pixels = rng.integers(0, 256, (20, 24, 3), np.uint8)
        Image.fromarray(pixels).save(path / "photos" / f"{i} <i>.png")
    (path / "labels.txt").write_text("\n".join(LABELS))
    return path


def request(folder: Path, name: str, **options: Any) -> Request:
    """An int8 conversion with a report."""
    plain = Request(
        source=folder / "net.onnx",
        target="rpi4",
        precision="int8",
        samples=folder / "photos",
        preprocess="unit",
        labels=folder / "labels.txt",
        out=folder / f"{name}.tflite",
        report=folder / f"{name}.html",
    )
    return replace(plain, **options)


@pytest.fixture(scope="module")
def int8_page(folder: Path) -> Path:
    """The page of an int8 classifier."""
    convert(request(folder, "int8"))
    return folder / "int8.html"


@pytest.fixture(scope="module")
def long_page(folder: Path) -> Path:
    """The page of a graph of many nodes with long names."""
    names = [
        "x",
        *(f"a_rather_long_name_of_a_layer_without_any_space_in_it_{i}" for i in range(MANY - 1)),
        "y",
    ]
    body = " ".join(
        f"{after} = {('Sin', 'Cos', 'Abs')[i % 3]}({before})"
        for i, (before, after) in enumerate(pairwise(names))
    )
    onnx.save(model_of(case(body, x=(1, 8))), folder / "long.onnx")
    options = {"source": folder / "long.onnx", "precision": "fp32", "samples": None, "preprocess": None}
    convert(request(folder, "long", labels=None, **options))
    return folder / "long.html"


class _Balance(HTMLParser):
    """Raises AssertionError at the first tag that is closed out of order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        """Closes itself."""

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            assert self.open and self.open.pop() == tag, f"</{tag}> at {self.getpos()}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        yield opened
        opened.close()


@pytest.fixture
def on_a_phone(browser: Any) -> Iterator[Callable[[Path, str], Any]]:
    """Open a page 360 pixels wide; it may say nothing on the console and ask nobody for anything."""
    complaints: list[str] = []

    def open_one(path: Path, scheme: str) -> Any:
        page = browser.new_context(
            viewport={"width": PHONE_PX, "height": 740}, color_scheme=scheme
        ).new_page()
        page.on("console", lambda said: complaints.append(said.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda one: (
                complaints.append(one.url) if not one.url.startswith(("data:", path.as_uri())) else None
            ),
        )
        page.goto(path.as_uri())
        return page

    yield open_one
    assert complaints == []


def test_tags_are_balanced_and_nothing_is_fetched(int8_page: Path, long_page: Path) -> None:
    for page in (int8_page, long_page):
        text = page.read_text()
        balance = _Balance()
        balance.feed(text)
        assert balance.open == [] and text.startswith("<!DOCTYPE html>")
        assert not re.search(r"(src|href)=\"(?!data:)", text) and "@import" not in text


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_without_scrolling_sideways(
    int8_page: Path, long_page: Path, on_a_phone: Callable[[Path, str], Any], scheme: str
) -> None:
    for path in (int8_page, long_page):
        page = on_a_phone(path, scheme)
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE_PX
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 27)"
        assert dark == (scheme == "dark")


@pytest.mark.browser
def test_the_page_shows_what_was_measured(
    int8_page: Path, on_a_phone: Callable[[Path, str], Any], folder: Path
) -> None:
    result = convert(request(folder, "again"))
    page = on_a_phone(int8_page, "light")
    text = page.locator("main").inner_text()
    assert f"{result.agreement['litert'].worst_db:.1f} dB" in text
    captions = page.locator("figcaption").all_inner_texts()
    assert len(captions) == 12
    assert all(sum(said.count(label) for label in LABELS) == 2 for said in captions)
    widths = page.evaluate("[...document.images].map(picture => picture.naturalWidth)")
    assert len(widths) == 12 and min(widths) > 0
    assert "minmax ranges" in text and "Before: 5 operators" in text
    assert page.locator("script").count() == 0
    dots = page.locator("circle").count()
    assert dots == sum(1 for _ in page.locator("details details.layer").all()) - 1  # all layers but the input


@pytest.mark.browser
def test_many_nodes_are_all_there(long_page: Path, on_a_phone: Callable[[Path, str], Any]) -> None:
    page = on_a_phone(long_page, "light")
    before, after = (page.locator(".nodes").nth(i).locator("li").count() for i in range(2))
    assert before == MANY and after >= MANY


def test_the_same_conversion_gives_the_same_page(int8_page: Path, folder: Path) -> None:
    first = int8_page.read_text()
    convert(request(folder, "int8"))
    assert int8_page.read_text() == first


def test_the_report_of_an_onnx_file_has_its_layers(folder: Path) -> None:
    convert(request(folder, "onnx", format="onnx", out=folder / "written.onnx"))
    text = (folder / "onnx.html").read_text()
    assert "Noise by layer" in text and text.count("<circle") >= 4
    assert "GlobalAveragePool" in text and "Ways of quantizing" in text


@pytest.mark.parametrize(
    ("place", "said"),
    [("page.txt", "ending in '.txt'"), ("nowhere/page.html", "does not exist"), ("photos", "a folder")],
)
def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    folder: Path, place: str, said: str
) -> None:
    with pytest.raises(ConversionError, match=f"--report .*{said}"):
        convert(request(folder, "refused", report=folder / place))
    assert not (folder / "refused.tflite").exists()
