"""What the package exports, and that the examples in its docstrings and its page in docs/ are true."""

import doctest
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from sdk.test_text_real import meter_of

import edgewise
import edgewise.testing
from edgewise.errors import EdgewiseError
from edgewise.testing import write_tiny_model

PAGE = Path(__file__).parents[2] / "docs" / "sdk.md"


def test_every_exported_name_exists() -> None:
    for name in edgewise.__all__:
        assert getattr(edgewise, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = edgewise.nonsense


def test_importing_edgewise_imports_nothing_heavy() -> None:
    code = "import sys, edgewise; assert not {'numpy', 'PIL', 'typer'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_error_is_ours_and_a_builtin() -> None:
    errors = [
        value
        for name in edgewise.__all__
        if isinstance(value := getattr(edgewise, name), type) and issubclass(value, Exception)
    ]
    assert len(errors) == 10
    for error in errors:
        assert issubclass(error, EdgewiseError)
        assert error.exit_code == 1
        assert error is EdgewiseError or issubclass(error, ValueError | RuntimeError)


def test_the_examples_in_docstrings_hold() -> None:
    assert doctest.testmod(edgewise.testing).failed == 0


def test_the_examples_on_the_page_hold(
    tinyocr: Path, page_photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for file, name in (
        (tinyocr / "PP-OCRv6_det_tiny.onnx", "det.onnx"),
        (tinyocr / "PP-OCRv6_rec_tiny.onnx", "rec.onnx"),
        (page_photo, "page.png"),
    ):
        shutil.copy(file, name)
    meter_of("0048213.7").save("meter.png")
    write_tiny_model("tiny.tflite")
    Image.new("RGB", (64, 64), "lime").save("leaf.png")
    fences = re.findall(r"^```(\w*)\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert {language for language, _ in fences} == {
        "python",
        "sh",
    }  # nothing that looks like Python is left out
    examples = [block for language, block in fences if language == "python"]
    names: dict[str, object] = {}
    for example in examples:
        exec(example, names)
