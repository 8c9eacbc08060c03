"""Large JPEGs whose two best categories are close are decoded whole."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

import edgewise
from edgewise.errors import CardError
from edgewise.testing import write_tiny_model

Save = Callable[..., Path]
Photo = Callable[[tuple[int, int]], Image.Image]


class Pipe(io.RawIOBase):
    """Bytes that can be read once."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        return self._data.readinto(buffer)


@pytest.fixture
def photo(save_picture: Save, photo_like: Photo) -> Path:
    return save_picture(photo_like((1920, 1080)), "photo.jpg", quality=60)


@pytest.fixture(params=[0.0, 1.0])
def near_tie(request: pytest.FixtureRequest) -> float:
    return float(request.param)


@pytest.fixture
def model(tmp_path: Path, near_tie: float) -> Iterator[edgewise.Model]:
    with edgewise.load(write_tiny_model(tmp_path / "tiny.tflite"), near_tie=near_tie) as model:
        yield model


def answers(result: edgewise.Classification) -> list[tuple[int, float]]:
    return [(category.index, category.score) for category in result.categories]


def answers_in_haste(path: Path, photo: Path) -> list[tuple[int, float]]:
    with edgewise.load(path) as model:
        return answers(model.predict(photo))


def test_a_near_tie_is_answered_from_the_whole_picture(
    model: edgewise.Model, photo: Path, near_tie: float
) -> None:
    with Image.open(photo) as picture:
        height, width = model.inputs[0].shape[1:3]
        usual = picture.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
        whole = answers(model.predict(usual))
    small = answers_in_haste(model.path, photo)
    assert small != whole  # else this test would say nothing
    expected = whole if near_tie else small
    assert answers(model.predict(photo)) == expected
    assert answers(model.predict(io.BytesIO(photo.read_bytes()))) == expected


def test_what_can_be_read_only_once_is_answered_as_it_was_decoded(model: edgewise.Model, photo: Path) -> None:
    small = answers_in_haste(model.path, photo)
    assert answers(model.predict(Pipe(photo.read_bytes()))) == small


def test_both_attempts_are_in_the_timings(model: edgewise.Model, photo: Path) -> None:
    timings = model.predict(photo, top=1).timings
    assert min(timings.preprocess_ms, timings.invoke_ms, timings.postprocess_ms) > 0
    assert timings.total_ms == pytest.approx(
        timings.preprocess_ms + timings.invoke_ms + timings.postprocess_ms
    )


def test_a_near_tie_is_a_difference_of_scores(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="near_tie: got 2, expected 0 to 1"):
        edgewise.load(write_tiny_model(tmp_path / "tiny.tflite"), near_tie=2)
