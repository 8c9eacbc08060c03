"""How soon the agent's drift monitor sees a shift, and how often it alarms without one.

EfficientNet-Lite0 in int8, converted with the 100 grocery photos for calibration, watches the other 632 photos of the
train and validation rows; the test rows of that data set are never read. The photos are split in halves by chance, one
to choose the monitor's constants on and one to report. Streams are drawn with replacement, so they are as independent
as the monitor assumes, and no more varied than the photos of one half: its own difference from the baseline, which the
bound does not count, is in every input of a stream.

    .venv/bin/python benchmarks/drift.py            # ten CPU-minutes; prints the tables of docs/agent/drift.md
"""

import argparse
import csv
import io
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance, ImageFilter

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import models_and_data
from edgewise.drift_baseline import (
    MOST_ROWS,
    AnswerBaseline,
    ClassCount,
    DriftBaseline,
    Histogram,
    PictureBaseline,
    SampleRows,
)
from edgewise.streams import Frame
from edgewise_agent.drift import DriftMonitor, Observation, Reference, reference_of
from edgewise_agent.drift.monitor import EVERY
from edgewise_agent.drift.observation import CONFIDENCE, MARGIN
from edgewise_agent.pipelines.model_slot import ModelSlot
from edgewise_agent.pipelines.settings import PipelineSettings
from edgewise_agent.pipelines.source_words import SourceWord
from edgewise_converters.baseline import by_tenths

EDGEWISE = Path(sys.executable).with_name("edgewise")
TENTHS = tuple(i / 10 for i in range(11))
BEFORE = 500
"""Unshifted inputs before each shift: the windows are full of them, and the device's first ones are in the baseline.

Up to `EVERY` more come before it, by chance."""
MOST = 1000
"""Inputs after a shift before it counts as not seen."""
WANTED = 200
EACH = 10_000
"""Unshifted inputs for each baseline drawn by chance."""
UNSHIFTED = "none"

Picture = Image.Image
Rng = np.random.Generator
Places = npt.NDArray[np.int64]


def other_camera(picture: Picture) -> Picture:
    """Colder white balance, harder contrast, half the resolution, JPEG of quality 40."""
    pixels = np.asarray(picture, np.float32) * np.array([0.85, 1.0, 1.2], np.float32)
    pixels = np.clip((pixels - 128) * 1.2 + 128, 0, 255)
    small = Image.fromarray(pixels.astype(np.uint8)).resize((picture.width // 2, picture.height // 2))
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=40)
    return Image.open(io.BytesIO(stream.getvalue())).convert("RGB")


SHIFTS: dict[str, Callable[[Picture], Picture]] = {
    UNSHIFTED: lambda picture: picture,
    "brightness x 0.6": lambda picture: ImageEnhance.Brightness(picture).enhance(0.6),
    "brightness x 1.4": lambda picture: ImageEnhance.Brightness(picture).enhance(1.4),
    "brightness x 0.9": lambda picture: ImageEnhance.Brightness(picture).enhance(0.9),
    "blur, sigma 2": lambda picture: picture.filter(ImageFilter.GaussianBlur(2)),
    "blur, sigma 1": lambda picture: picture.filter(ImageFilter.GaussianBlur(1)),
    "another camera": other_camera,
}
MIXES = ("half of the 14 kinds of fruit", "2 of the 5 groups of fruit")


@dataclass(frozen=True)
class Photos:
    """What the model sees in every photo under every shift."""

    kinds: npt.NDArray[np.str_]
    groups: npt.NDArray[np.str_]
    is_calibration: npt.NDArray[np.bool_]
    seen: Mapping[str, Sequence[Observation]]

    def half(self, which: str) -> Places:
        """Photos that the card's baseline was not made of: every second one in an order by chance."""
        others = np.random.default_rng(0).permutation(np.flatnonzero(~self.is_calibration))
        return others[(0 if which == "choose" else 1) :: 2]

    def mixed(self, places: Places, which: str, rng: Rng) -> Places:
        """Those of half of the kinds, or of the groups, chosen by chance."""
        names = self.kinds if which == MIXES[0] else self.groups
        every = sorted(set(names))
        kept = rng.permutation(every)[: len(every) // 2]
        return places[np.isin(names[places], kept)]


def look_at_photos(model: Path, work: Path, shifts: Sequence[str]) -> tuple[Photos, Reference, float]:
    """Every photo through the agent's own slot; also what is beside the latency, as a share of it: observing."""
    files = [file for split in ("train", "validation") for file in _photos(split)]
    calibration = {file.name for file in _photos("calibration")}
    labels = {name: group for split in ("train", "validation") for name, group in _groups(split).items()}
    slot = ModelSlot(PipelineSettings(model=model, source=(SourceWord("/photos"),)))
    reference = cast(Reference, slot.drift_reference())
    seen: dict[str, list[Observation]] = {}
    latency_s = whole_s = 0.0
    for shift in shifts:
        change = SHIFTS[shift]
        for file in files:
            shown = work / "shown.png"
            with Image.open(file) as picture:
                change(picture.convert("RGB")).save(shown, compress_level=1)
            began = time.perf_counter()
            ((answer, observation),) = slot.answers(Frame(shown, 0, 0.0, "benchmark"))
            whole_s += time.perf_counter() - began
            latency_s += answer.latency_ms / 1000
            assert observation is not None
            seen.setdefault(shift, []).append(observation)
        print(f"looked at {len(files)} photos: {shift}", file=sys.stderr)
    slot.close()
    photos = Photos(
        np.array([file.stem.split("-")[1] for file in files]),
        np.array([labels[file.name] for file in files]),
        np.array([file.name in calibration for file in files]),
        seen,
    )
    return photos, reference, whole_s / latency_s - 1


def _photos(split: str) -> list[Path]:
    return sorted(models_and_data.grocery_photos(split).glob("*.jpg"))


def _groups(split: str) -> dict[str, str]:
    with models_and_data.grocery_labels(split).open(newline="") as file:
        return {row["file"]: row["coarse"] for row in csv.DictReader(file)}


def baseline_of(observations: Sequence[Observation]) -> Reference:
    """What the converter would put into the card for these photos."""

    def column(name: str) -> list[float]:
        return [one.statistics[name] for one in observations]

    pictures = tuple(
        PictureBaseline(name, float(np.mean(column(name))), by_tenths(np.array(column(name))))
        for name in observations[0].statistics
        if name not in (CONFIDENCE, MARGIN)
    )
    classes = Counter(one.answer for one in observations if one.answer is not None)
    answers = AnswerBaseline(
        Histogram.of(column(CONFIDENCE), TENTHS),
        Histogram.of(column(MARGIN), TENTHS),
        tuple(ClassCount(index, count) for index, count in classes.most_common()),
    )
    whole = observations[:MOST_ROWS]  # in an order by chance
    rows = SampleRows(
        tuple(tuple(one.statistics[picture.name] for picture in pictures) for one in whole),
        *zip(*(one.likeliest for one in whole), strict=True),
    )
    made = reference_of(
        DriftBaseline(len(observations), "", (), answers=answers, pictures=pictures, rows=rows)
    )
    return cast(Reference, made)


def count_alarms(reference: Reference, seen: Sequence[Observation], stream: Places) -> Counter[str]:
    """What alarms were about."""
    monitor = DriftMonitor(reference)
    changes = [change for place in stream if (change := monitor.add(seen[place]))]
    return Counter(change.moved[0].name for change in changes if change.is_start)


@dataclass(frozen=True)
class Trial:
    """One shift: after how many inputs it was seen, after how many its end, and by what."""

    delay: int
    cleared: int
    name: str


def try_shift(
    reference: Reference, photos: Photos, pool: Places, shift: str, rng: Rng, before: int = BEFORE
) -> Trial | None:
    """None where the monitor alarmed before the shift."""
    monitor = DriftMonitor(reference)
    unshifted = photos.seen[UNSHIFTED]
    # A shift begins anywhere between two looks.
    if any(monitor.add(unshifted[place]) for place in rng.choice(pool, before + rng.integers(EVERY))):
        return None
    shown = photos.mixed(pool, shift, rng) if shift in MIXES else pool
    seen = photos.seen[UNSHIFTED if shift in MIXES else shift]
    name, delay = "", MOST + 1
    for count, place in enumerate(rng.choice(shown, MOST), 1):
        change = monitor.add(seen[place])
        if change:
            name, delay = change.moved[0].name, count
            break
    cleared = MOST + 1
    for count, place in enumerate(rng.choice(pool, MOST), 1):
        if monitor.add(unshifted[place]):
            cleared = count
            break
    return Trial(delay, cleared, name)


def with_other_baselines(photos: Photos, half: Places, samples: int, rng: Rng) -> tuple[Reference, Places]:
    """A baseline of so many photos of all, drawn by chance, and what of the half is not in it."""
    chosen = rng.choice(len(photos.kinds), samples, replace=False)
    seen = photos.seen[UNSHIFTED]
    return baseline_of([seen[place] for place in chosen]), np.setdiff1d(half, chosen)


def show_false_alarms(photos: Photos, card: Reference, half: Places, inputs: int, draws: int) -> None:
    """With the card's baseline, with others of other photos, and with ones drawn from the very photos of the stream.

    Only of the last is the stream what the bound speaks of: independent draws from what the baseline was drawn from.
    """
    seen = photos.seen[UNSHIFTED]
    print("| baseline | inputs | alarms | per 10,000 | about |\n|---|---|---|---|---|")
    found = count_alarms(card, seen, np.random.default_rng(1).choice(half, inputs))
    print(_alarm_row(f"the card's, {card.samples} photos", inputs, found, ""), flush=True)
    for is_same, samples in ((True, 100), (True, 300), (False, 100), (False, 300)):
        rng = np.random.default_rng((samples, is_same))
        total: Counter[str] = Counter()
        worst = 0
        for _ in range(draws):
            if is_same:
                reference, pool = baseline_of([seen[place] for place in rng.choice(half, samples)]), half
            else:
                reference, pool = with_other_baselines(photos, half, samples, rng)
            found = count_alarms(reference, seen, rng.choice(pool, EACH))
            worst, total = max(worst, found.total()), total + found
        which = "the stream's own photos" if is_same else "other photos"
        note = f"; most with one of them {worst}"
        print(_alarm_row(f"{draws} times {samples} of {which}", EACH * draws, total, note), flush=True)


def _alarm_row(baseline: str, inputs: int, found: Counter[str], note: str) -> str:
    about = ", ".join(f"{name} {count}" for name, count in found.most_common(3)) or "-"
    return (
        f"| {baseline} | {inputs:,} | {found.total()} | {found.total() / inputs * 1e4:.2f} | {about}{note} |"
    )


def shift_row(shift: str, trials: Sequence[Trial | None]) -> str:
    good = [trial for trial in trials if trial is not None]
    delays = sorted(trial.delay for trial in good)
    within = sum(delay <= WANTED for delay in delays) / len(delays)
    ends = sorted(trial.cleared for trial in good if trial.delay <= MOST)
    by = ", ".join(name for name, _ in Counter(trial.name for trial in good if trial.name).most_common(3))
    cells = [
        shift,
        _inputs(delays[len(delays) // 2]),
        _inputs(delays[int(0.95 * len(delays))]),
        f"{within:.0%}".replace("%", " %"),
        _inputs(ends[len(ends) // 2]) if ends else "-",
        by or "-",
    ]
    return f"| {' | '.join(cells)} |"


def _inputs(count: int) -> str:
    return f"> {MOST}" if count > MOST else str(count)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--half", choices=("choose", "report"), default="report")
    parser.add_argument("--inputs", type=int, default=200_000, help="unshifted inputs for false alarms")
    parser.add_argument("--draws", type=int, default=50, help="baselines drawn by chance")
    parser.add_argument("--trials", type=int, default=200, help="streams for each shift; 0 leaves shifts out")
    parser.add_argument("--before", type=int, default=BEFORE, help="unshifted inputs before each shift")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "efficientnet.tflite"
        subprocess.run(
            [
                EDGEWISE, "convert", models_and_data.efficientnet_lite0_onnx(), "--target", "rpi4",
                "--precision", "int8", "--samples", models_and_data.grocery_photos("calibration"),
                "--preprocess", "mean=127;std=128", "--out", model,
            ],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        photos, card, cost = look_at_photos(
            model, Path(folder), list(SHIFTS) if asked.trials else [UNSHIFTED]
        )
    half = photos.half(asked.half)
    print(
        f"{len(half)} photos of the half '{asked.half}'; observing adds {cost:.1%} to the latency here\n",
        flush=True,
    )
    show_false_alarms(photos, card, half, asked.inputs, asked.draws)
    for samples in (0, 300) if asked.trials else ():
        print(
            f"\nwith {f'baselines of {samples} photos drawn by chance' if samples else 'the baseline of the card'}:"
        )
        print("\n| shift | median | 95 % | within 200 | cleared after | seen by |\n|---|---|---|---|---|---|")
        for shift in [*list(SHIFTS)[1:], *MIXES]:
            rng = np.random.default_rng(2)
            trials = []
            for _ in range(asked.trials):
                made = with_other_baselines(photos, half, samples, rng) if samples else (card, half)
                trials.append(try_shift(made[0], photos, made[1], shift, rng, asked.before))
            print(shift_row(shift, trials), flush=True)


if __name__ == "__main__":
    main()
