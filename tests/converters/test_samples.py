"""Samples: what is read, what is skipped and counted, what is refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgewise.model_card import ImagePreprocess
from edgewise.tensors import Array
from edgewise_converters.errors import InvalidSamples
from edgewise_converters.samples import InputSpec, load_samples, noise

F32 = np.dtype(np.float32)
VECTOR = InputSpec("x", (1, 4), F32)
PICTURE = InputSpec(
    "x",
    (1, 3, 8, 8),
    F32,
    ImagePreprocess(size_wh=(8, 8), mean=(0.0,), std=(255.0,), resize="stretch"),
    "nchw",
)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Fifty pictures, the brighter the later."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(50):
        Image.new("RGB", (9, 7), (5 * i, 0, 255)).save(folder / f"{i:02}.png")
    return folder


def stored(path: Path, array: Array) -> Path:
    np.save(path, array)
    return path


def test_pictures_become_inputs_as_the_preprocessing_says(photos: Path) -> None:
    feeds = list(load_samples(photos, [PICTURE]).feeds())
    assert len(feeds) == 50
    assert feeds[20]["x"].shape == (1, 3, 8, 8)
    np.testing.assert_allclose(feeds[20]["x"][0, :, 0, 0], [100 / 255, 0, 1], atol=1e-6)


def test_held_out_pictures_are_apart_from_those_for_calibration(photos: Path) -> None:
    calibration, held_out = load_samples(photos, [PICTURE]).split()
    assert (len(calibration), len(held_out)) == (40, 10)
    reds = [{float(feed["x"][0, 0, 0, 0]) for feed in part.feeds()} for part in (calibration, held_out)]
    assert not reds[0] & reds[1]


def test_few_samples_serve_both(photos: Path) -> None:
    for path in sorted(photos.iterdir())[10:]:
        path.unlink()
    calibration, held_out = load_samples(photos, [PICTURE]).split()
    assert len(calibration) == len(held_out) == 10


def test_broken_picture_among_good_ones_is_skipped_and_counted_once(photos: Path) -> None:
    (photos / "05.png").write_bytes(b"no picture")
    (photos / "06.png").write_bytes((photos / "07.png").read_bytes()[:30])
    samples = load_samples(photos, [PICTURE])
    assert len(list(samples.feeds())) == len(list(samples.feeds())) == 48
    assert len(samples.skipped) == 2
    assert any("05.png" in text for text in samples.skipped)


def test_all_broken_is_refused(photos: Path) -> None:
    for path in photos.iterdir():
        path.write_bytes(b"no picture")
    with pytest.raises(InvalidSamples, match="none of 50 could be read"):
        list(load_samples(photos, [PICTURE]).feeds())


STACKS = {"one": (1, 4), "many along the batch": (6, 4), "many along a new axis": (6, 1, 4)}


@pytest.mark.parametrize("shape", STACKS.values(), ids=STACKS)
def test_array_holds_one_sample_or_many(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    feeds = list(load_samples(stored(tmp_path / "a.npy", values), [VECTOR]).feeds())
    assert len(feeds) == values.size // 4
    assert all(feed["x"].shape == (1, 4) and feed["x"].dtype == np.float32 for feed in feeds)
    np.testing.assert_array_equal(np.concatenate([feed["x"] for feed in feeds]).ravel(), values.ravel())


def test_archive_feeds_several_inputs_together(tmp_path: Path) -> None:
    specs = [VECTOR, InputSpec("rate", (), np.dtype(np.int64))]
    np.savez(tmp_path / "a.npz", x=np.ones((3, 4)), rate=np.array([8, 16, 32]))
    feeds = list(load_samples(tmp_path / "a.npz", specs).feeds())
    assert [int(feed["rate"]) for feed in feeds] == [8, 16, 32]
    assert feeds[0]["rate"].shape == () and feeds[0]["rate"].dtype == np.int64


def test_folder_of_arrays_is_read_in_order(tmp_path: Path) -> None:
    for i in (2, 0, 1):
        stored(tmp_path / f"{i}.npy", np.full((1, 4), i, np.float32))
    feeds = list(load_samples(tmp_path, [VECTOR]).feeds())
    assert [feed["x"][0, 0] for feed in feeds] == [0, 1, 2]


def test_sample_that_is_no_number_is_skipped_and_counted(tmp_path: Path) -> None:
    values = np.ones((5, 4), np.float32)
    values[2, 1] = np.nan
    samples = load_samples(stored(tmp_path / "a.npy", values), [VECTOR])
    assert len(list(samples.feeds())) == 4
    assert "sample 2" in samples.skipped[0]


def test_wrong_samples_are_refused_with_what_was_expected(tmp_path: Path) -> None:
    two = [VECTOR, InputSpec("z", (1,), F32)]
    np.savez(tmp_path / "uneven.npz", x=np.ones((3, 4)), z=np.ones((2, 1)))
    np.savez(tmp_path / "other.npz", q=np.ones((3, 4)))
    (tmp_path / "broken.npz").write_bytes(b"PK nothing")
    (tmp_path / "broken.npy").write_bytes(b"\x93NUMPY nothing")
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "note.txt").write_text("no sample")
    (tmp_path / "none").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "picture.png")
    wrong = [
        (tmp_path / "missing", [VECTOR], "does not exist"),
        (tmp_path / "none", [VECTOR], "holds nothing"),
        (tmp_path / "note.txt", [VECTOR], "neither an image nor"),
        (tmp_path / "picture.png", [VECTOR], "takes none"),
        (tmp_path / "picture.png", two, "2 inputs"),
        (tmp_path / "broken.npz", [VECTOR], "cannot be read as .npz"),
        (tmp_path / "broken.npy", [VECTOR], "cannot be read as .npy"),
        (tmp_path / "empty.npy", [VECTOR], "cannot be read as .npy"),
        (tmp_path / "uneven.npz", two, "the same number"),
        (tmp_path / "other.npz", [VECTOR], "expected one named 'x'"),
        (stored(tmp_path / "shape.npy", np.ones((3, 5))), [VECTOR], r"got \(3, 5\), expected \(1, 4\)"),
        (stored(tmp_path / "no.npy", np.ones((0, 4))), [VECTOR], "not 0"),
        (stored(tmp_path / "text.npy", np.full((1, 4), "a")), [VECTOR], "expected numbers"),
        (stored(tmp_path / "two.npy", np.ones((1, 4))), two, "2 inputs"),
    ]
    for path, specs, said in wrong:
        with pytest.raises(InvalidSamples, match=said):
            load_samples(path, specs)


def test_noise_is_the_same_every_time_and_within_what_pictures_hold() -> None:
    one, other = (list(noise([PICTURE]).feeds()) for _ in range(2))
    assert len(one) == 8
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a["x"], b["x"])
        assert a["x"].min() >= 0 and a["x"].max() <= 1
    assert not np.array_equal(one[0]["x"], one[1]["x"])
