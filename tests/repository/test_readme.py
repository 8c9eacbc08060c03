"""The README's Python and the examples do what they say."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from edgewise.testing import write_tiny_model

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the model and the photo that the README speaks of."""
    write_tiny_model(tmp_path / "resnet-rpi4.tflite")
    Image.new("RGB", (64, 48), "lime").save(tmp_path / "cat.jpg")
    return tmp_path


def test_readme_python_runs_as_it_stands(folder: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        done = subprocess.run(
            [sys.executable, "-c", block], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "green" in done.stdout


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_example_runs_and_is_short(example: Path, folder: Path) -> None:
    assert len(example.read_text().splitlines()) < 40
    words = [sys.executable, str(example), "resnet-rpi4.tflite", "."]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "green" in done.stdout or "fit for use" in done.stdout


def test_examples_are_typed() -> None:
    mypy = Path(sys.executable).with_name("mypy")
    done = subprocess.run([mypy, *EXAMPLES], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_readme_names_only_files_that_exist() -> None:
    text = (ROOT / "README.md").read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
