"""A model of each kind that runs, what it sees, an update that is as good, and one that is not."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from device_agent.shadow_parts import (
    Item,
    altered,
    measurements,
    pictures,
    sound,
    write_filter,
    write_listener,
    write_pixel_network,
)
from PIL import Image
from sdk.detection_files import write_posing, write_yunet
from sdk.exercise_files import TEST_SUBJECTS, write_exercise_model
from sdk.test_sound_tasks import RATE as TONES_HZ
from sdk.test_sound_tasks import write_described_tones
from sdk.vibration_files import WINDOW, write_vibration_model

import edgewise
import models_and_data
from edgewise.model_card import IMAGE_EMBEDDING, IMAGE_SEGMENTATION
from edgewise.pose_card import PoseCard
from edgewise.testing import tiny_card, write_tiny_detector, write_tiny_model
from model_sources.exercises import RATE_HZ, read_exercises
from model_sources.vibration import RATE_HZ as VIBRATION_HZ
from model_sources.vibration import read_vibration

ROOT = Path(__file__).parents[2]
KEYWORDS = ROOT / "examples/data/keywords.onnx"
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


@dataclass(frozen=True)
class Case:
    """A model that runs, what it sees, an update that is as good, and one that is not."""

    current: Path
    good: Path
    wrong: Path
    items: list[Item]
    source: str = "/photos"
    inputs: int = 30


def patches() -> list[np.ndarray]:
    return [np.full((8, 8, 3), colour, np.uint8) for colour in COLOURS]


def classification(folder: Path) -> Case:
    wrong = replace(tiny_card(name="wrong"), labels=("green", "blue", "red"))
    return Case(
        write_tiny_model(folder / "a.tflite"),
        write_tiny_model(folder / "good.tflite", card=tiny_card(name="good")),
        write_tiny_model(folder / "wrong.tflite", card=wrong),
        pictures(patches(), 3),
    )


def detection(folder: Path) -> Case:
    """YuNet; the other weights find something else or nothing."""
    current = write_yunet(folder / "a.onnx", models_and_data.yunet_onnx())
    photo = np.asarray(Image.open(models_and_data.astronaut_photo()).convert("RGB"))
    return Case(
        current,
        altered(folder / "good.onnx", current, name="good", noise=0.001),
        altered(folder / "wrong.onnx", current, name="wrong", noise=0.5),
        pictures([photo, photo[:, ::-1].copy(), photo[:300, 50:400].copy()], 3),
        inputs=4,
    )


def boxes(folder: Path) -> Case:
    """A detector of one box in what is green; the wrong model calls it otherwise."""
    current = write_tiny_detector(folder / "a.tflite")
    file = edgewise.read_model(current)
    assert file.card
    made = []
    for name, labels in (("good", ("here",)), ("wrong", ("there",))):
        made.append(write_tiny_detector(folder / f"{name}.tflite"))
        edgewise.write_model(
            made[-1], made[-1].read_bytes(), card=replace(file.card, name=name, labels=labels)
        )
    return Case(current, *made, pictures(patches(), 3), inputs=36)


def segmentation(folder: Path) -> Case:
    """Labels in another order are no other answer, other labels are."""
    half = np.concatenate([patches()[0][:4], patches()[1][:4]])
    names, turned = ("red", "green", "blue"), [2, 0, 1]
    return Case(
        write_pixel_network(folder / "a.onnx", IMAGE_SEGMENTATION, np.eye(3), names),
        write_pixel_network(
            folder / "good.onnx", IMAGE_SEGMENTATION, np.eye(3)[turned], tuple(names[i] for i in turned)
        ),
        write_pixel_network(folder / "wrong.onnx", IMAGE_SEGMENTATION, np.eye(3)[turned], names),
        pictures([*patches(), half], 4),
    )


def embedding(folder: Path) -> Case:
    random = np.random.default_rng(0)
    weights = random.standard_normal((16, 3))
    return Case(
        write_pixel_network(folder / "a.onnx", IMAGE_EMBEDDING, weights),
        write_pixel_network(
            folder / "good.onnx", IMAGE_EMBEDDING, weights + 0.01 * random.standard_normal((16, 3))
        ),
        write_pixel_network(folder / "wrong.onnx", IMAGE_EMBEDDING, random.standard_normal((16, 3))),
        pictures(patches(), 3),
    )


def pose(folder: Path) -> Case:
    """A head's real decoding of points that are made up: a body, the same a little off, and one upside down."""
    random = np.random.default_rng(0)
    points = np.concatenate([random.uniform(0.2, 0.8, (17, 2)), np.full((17, 1), 0.9)], axis=1)
    points = points.astype(np.float32).reshape(1, 1, 17, 3)
    near, far = points.copy(), points.copy()
    near[..., :2] += 0.01
    far[..., 0] = 1.0 - far[..., 0]
    files = [
        write_posing(folder / f"{name}.onnx", {"out": values}, PoseCard("movenet"))
        for name, values in (("a", points), ("good", near), ("wrong", far))
    ]
    return Case(*files, pictures(patches(), 3))


def keywords(folder: Path) -> Case:
    """Real words, one every 1.5 s; the wrong model has its labels shuffled between the words only."""
    said = spoken_words()
    card = edgewise.read_model(KEYWORDS).card
    assert card
    words = [label for label in card.labels if not label.startswith("_")]
    turned = dict(zip(words, [*words[1:], words[0]], strict=True))
    return Case(
        altered(folder / "a.onnx", KEYWORDS, name="keywords"),
        altered(folder / "good.onnx", KEYWORDS, name="good", noise=0.01),
        altered(
            folder / "wrong.onnx", KEYWORDS, name="wrong", labels=tuple(turned.get(x, x) for x in card.labels)
        ),
        sound(said),
        source="microphone:",
        inputs=60,
    )


def spoken_words() -> np.ndarray:
    from sdk.keyword_files import stream_of

    from model_sources.spoken_words import clips

    found = clips("validation")
    places = list(range(0, len(found.samples), max(len(found.samples) // 20, 1)))[:20]
    return stream_of(found, places, seed=3, every_s=1.5) / 32768


def tones(folder: Path) -> Case:
    """A network that tells low tones from high ones; the wrong model knows the silence, and no tone."""
    current = write_described_tones(folder / "a.onnx", ("_silence_", "low", "high"))
    time = np.arange(TONES_HZ) / TONES_HZ
    heard = [np.zeros(TONES_HZ), *(0.5 * np.sin(2 * np.pi * hz * time) for hz in (400, 3000))]
    return Case(
        current,
        altered(folder / "good.onnx", current, name="good"),
        altered(folder / "wrong.onnx", current, name="wrong", labels=("_silence_", "high", "low")),
        sound(np.concatenate([*heard, np.zeros(5 * TONES_HZ)]), rate_hz=TONES_HZ),
        source="microphone:",
        inputs=90,
    )


def series(folder: Path) -> Case:
    data = read_exercises(models_and_data.SOURCES["exercises"].make())
    current = write_exercise_model(folder / "a.onnx", data)
    rows = [r for r, s in zip(data.recordings, data.subjects, strict=True) if s in TEST_SUBJECTS]
    return Case(
        current,
        altered(folder / "good.onnx", current, name="good", noise=0.001),
        altered(folder / "wrong.onnx", current, name="wrong", labels=(*data.names[1:], data.names[0])),
        measurements(np.concatenate(rows), RATE_HZ, 25),
        source="push:1",
    )


def anomaly(folder: Path) -> Case:
    """Good bearings and bad ones in turn; the wrong model calls all of them normal."""
    data = read_vibration(models_and_data.SOURCES["vibration"].make())
    write_vibration_model(folder / "a.onnx", data)
    card = edgewise.read_model(folder / "a.onnx").card
    assert card and card.anomaly and card.anomaly.threshold is not None
    blind = replace(card.anomaly, threshold=card.anomaly.threshold * 1000)
    good, bad = ([data.recordings[name] for name in data.recordings if ("baseline" in name) == is_good]
                 for is_good in (True, False))  # fmt: skip
    rows = [piece[i * WINDOW : (i + 1) * WINDOW] for i in range(8) for piece in (good[-1], bad[0])]
    return Case(
        folder / "a.onnx",
        altered(folder / "good.onnx", folder / "a.onnx", name="good", noise=0.0001),
        altered(folder / "wrong.onnx", folder / "a.onnx", name="wrong", anomaly=blind),
        measurements(np.concatenate(rows), VIBRATION_HZ, WINDOW // 2),
        source="push:1",
    )


def voice(folder: Path) -> Case:
    """silero-vad, which carries a state on; the other weights hear no voice, or always one."""
    current = write_listener(folder / "a.onnx")
    return Case(
        current,
        altered(folder / "good.onnx", current, name="good", noise=0.001),
        altered(folder / "wrong.onnx", current, name="wrong", noise=1.0),
        sound(spoken_words()),
        source="microphone:",
        inputs=80,
    )


def tensors(folder: Path) -> Case:
    random = np.random.default_rng(0)
    weights = random.standard_normal((4, 5))
    return Case(
        write_filter(folder / "a.onnx", weights),
        write_filter(folder / "good.onnx", weights + 0.01 * random.standard_normal((4, 5))),
        write_filter(folder / "wrong.onnx", random.standard_normal((4, 5))),
        measurements(random.standard_normal((160, 4)), 50.0, 16),
        source="push:1",
    )
