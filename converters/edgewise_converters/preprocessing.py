"""What `--preprocess` says, as the ImagePreprocess that goes into the card."""

import math
from dataclasses import dataclass

from edgewise.errors import CardError
from edgewise.model_card import ImagePreprocess
from edgewise_converters.errors import InvalidSamples

_PRESETS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    # torchvision.transforms.Normalize with ImageNet's mean and standard deviation, in pixels
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "unit": ((0.0,), (255.0,)),
    "signed": ((127.5,), (127.5,)),
    "raw": ((0.0,), (1.0,)),
}
_PIXEL = 255.0
_CLASSIFIER_CROP = 0.875
"""256 -> 224, as ImageNet classifiers are evaluated."""
_KEYS = ("mean", "std", "resize", "crop", "resample", "colour")
HELP = (
    "imagenet | unit | signed | raw | mean=..;std=.., each with ;resize= ;crop= ;resample= ;colour= after it"
)


@dataclass(frozen=True)
class PreprocessRequest:
    """What was asked for, before the input's size is known."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: str | None = None
    crop_fraction: float | None = None
    resample: str = "bilinear"
    colour: str | None = None
    notices: tuple[str, ...] = ()

    def for_input(self, size_wh: tuple[int, int], channels: int, *, classifies: bool) -> ImagePreprocess:
        """The preprocessing of an input of this size; classifiers crop the centre unless told otherwise."""
        resize = self.resize or ("centre-crop" if classifies or self.crop_fraction else "stretch")
        crop = self.crop_fraction or (_CLASSIFIER_CROP if resize == "centre-crop" else 1.0)
        mean, std = self.mean, self.std
        if channels == 1 and len(mean) == 3:
            mean, std = (sum(mean) / 3,), (sum(std) / 3,)
        try:
            return ImagePreprocess(
                size_wh=size_wh,
                resize=resize,
                crop_fraction=crop if resize == "centre-crop" else 1.0,
                resample=self.resample,
                colour=self.colour or ("grey" if channels == 1 else "rgb"),
                mean=mean,
                std=std,
            )
        except CardError as error:
            raise InvalidSamples(f"--preprocess: {error}") from error


def parse_preprocess(text: str) -> PreprocessRequest:
    """Read `imagenet`, `mean=127;std=128`, `unit;resize=letterbox;colour=bgr` and the like. Raises InvalidSamples."""
    parts = [part.strip() for part in text.split(";") if part.strip()]
    values: dict[str, str] = {}
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    for position, part in enumerate(parts):
        key, equals, value = part.partition("=")
        if not equals and position == 0 and key in _PRESETS:
            mean, std = _PRESETS[key]
        elif not equals or key not in _KEYS:
            raise InvalidSamples(f"--preprocess: got '{part}', expected {HELP}")
        else:
            values[key] = value
    if not parts or (len(parts) and "=" in parts[0] and ("mean" in values) != ("std" in values)):
        raise InvalidSamples(f"--preprocess: got '{text}', expected {HELP}")
    mean = _numbers("mean", values["mean"]) if "mean" in values else mean
    std = _numbers("std", values["std"]) if "std" in values else std
    notices: tuple[str, ...] = ()
    if "std" in values and max(std) < 1 and max(mean) <= 1:
        mean, std = tuple(m * _PIXEL for m in mean), tuple(s * _PIXEL for s in std)
        notices = (
            f"mean and std were given for pixels of 0 to 1: taken as mean {mean}, std {std} for 0 to 255",
        )
    crop = _numbers("crop", values["crop"])[0] if "crop" in values else None
    return PreprocessRequest(
        mean,
        std,
        values.get("resize"),
        crop,
        values.get("resample", "bilinear"),
        values.get("colour"),
        notices,
    )


def _numbers(key: str, text: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(number) for number in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or not all(math.isfinite(number) for number in numbers):
        raise InvalidSamples(f"--preprocess {key}: got '{text}', expected numbers separated by commas")
    return numbers
