"""Made-up pages of text for benchmarks: known lines, in several fonts, sizes, angles, inks, lights and qualities."""

import io
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import models_and_data
from model_sources.wheels import Wheel, read_member

MATPLOTLIB = Wheel(
    "matplotlib",
    "3.11.2",
    "07d9b9fa60cd4c393692f50d0bb03123242ddf61c99bb0e95e75feb354e7c1a8",
    licence="PSF-2.0; its fonts: Bitstream Vera and SIL OFL 1.1",
    pip_options=(
        "--python-version=3.11",
        "--implementation=cp",
        "--abi=cp311",
        "--platform=manylinux2014_x86_64",
    ),
)
FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono", "STIXGeneral", "STIXGeneralItalic")
_WORDS = """the of and to in is that for with as on by this are from be or which at one all has more when into some
time two out only its over new such water light small pressure valve number total amount invoice date street order page
level signal sensor battery voltage station weight height open closed before after between under first measure control
report garden winter market bridge copper engine simple figure paper letter kitchen"""
WORDS = tuple(_WORDS.split())
PHOTO_SHARE, RULE_SHARE = 0.3, 0.3
"""Of the pages: with a photo beside the text, with lines of a table or form."""


@dataclass(frozen=True)
class Page:
    """A picture and what is written on it, line by line from the top."""

    picture: Image.Image
    lines: tuple[str, ...]


def made_page(seed: int) -> Page:
    """The same page for the same seed. Letters are 7 to 30 pixels high, small ones more often."""
    rng = np.random.default_rng(seed)
    size = round(7 * (30 / 7) ** float(rng.random()))
    name = FONTS[int(rng.integers(len(FONTS)))]
    font = ImageFont.truetype(io.BytesIO(read_member(MATPLOTLIB, _member(name))), size)
    paper, ink = _tones(rng)
    lines = tuple(_line(rng, int(rng.integers(12, 56))) for _ in range(int(rng.integers(3, 11))))
    pitch = round(size * float(rng.uniform(1.3, 2.2)))
    width = round(max(font.getlength(line) for line in lines)) + 4 * size
    picture = Image.new("L", (width, pitch * len(lines) + 3 * size), paper)
    draw = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        place = (2 * size, round(1.5 * size) + pitch * number)
        draw.text(place, line, ink, font)
        if rng.random() < RULE_SHARE / 2:
            bottom = place[1] + pitch - 2
            draw.line((place[0], bottom, width - 2 * size, bottom), ink)
    if rng.random() < PHOTO_SHARE:
        picture = _beside_photo(picture, rng)
    picture = picture.rotate(_angle(rng), Image.Resampling.BICUBIC, expand=True, fillcolor=paper)
    return Page(_photographed(picture, size, rng), lines)


def _member(name: str) -> str:
    return f"matplotlib/mpl-data/fonts/ttf/{name}.ttf"


def _line(rng: np.random.Generator, length: int) -> str:
    words: list[str] = []
    while len(" ".join(words)) < length:
        kind = rng.random()
        if kind < 0.12:
            words.append(f"{rng.integers(1, 100_000) / 10 ** int(rng.integers(0, 3)):g}")
        else:
            word = WORDS[int(rng.integers(len(WORDS)))]
            words.append(word.capitalize() if kind < 0.25 else word)
    return " ".join(words)[:length].strip() + ("." if rng.random() < 0.3 else "")


def _tones(rng: np.random.Generator) -> tuple[int, int]:
    """Paper and ink, 60 to 230 apart, in a fifth of the pages light on dark."""
    contrast = int(rng.integers(60, 231))
    dark = int(rng.integers(0, 256 - contrast))
    return (dark, dark + contrast) if rng.random() < 0.2 else (dark + contrast, dark)


def _angle(rng: np.random.Generator) -> float:
    """Half of the pages lie straight, the others are off by up to 12 degrees."""
    return 0.0 if rng.random() < 0.5 else float(rng.uniform(-12, 12))


def _beside_photo(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    source = models_and_data.chelsea_photo() if rng.random() < 0.5 else models_and_data.coffee_photo()
    with Image.open(source) as file:
        photo = file.convert("L").resize((picture.height, picture.height))
    wide = Image.new("L", (picture.width + photo.width, picture.height))
    wide.paste(picture, (0, 0))
    wide.paste(photo, (picture.width, 0))
    return wide


def _photographed(picture: Image.Image, size: int, rng: np.random.Generator) -> Image.Image:
    """Light from one side, a lens that blurs by up to 6 % of a letter's height, grain and JPEG."""
    blurred = picture.filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 0.06)) * size))
    grey = np.asarray(blurred, np.float64)
    light = np.linspace(1, float(rng.uniform(0.5, 1)), grey.shape[1])
    noise = rng.normal(0, float(rng.uniform(0, 6)), grey.shape)
    taken = Image.fromarray(np.clip(grey * light + noise, 0, 255).astype(np.uint8)).convert("RGB")
    file = io.BytesIO()
    taken.save(file, "JPEG", quality=int(rng.integers(50, 96)))
    return Image.open(file).convert("RGB")
