"""How a picture looks, in a few numbers: what tells a dark, blurred or discoloured picture from others.

They are taken from a model's input, so that the converter and a device measure the very same thing, whatever the
picture was before it was resized.
"""

from typing import Any

import numpy as np

from edgewise.model_card import ImagePreprocess
from edgewise.tensors import Array

MOST_ROWS = 64
"""Rows looked at, evenly spread: enough for means over a picture, and cheap on the smallest board."""
LUMA_BT601 = (0.299, 0.587, 0.114)
"""ITU-R BT.601: how bright red, green and blue are to the eye."""
GREY_STATISTICS = ("brightness", "contrast", "sharpness")
COLOUR_STATISTICS = ("saturation", "warmth", "tint")


def some_rows(tensor: Array, *, channels_first: bool) -> Array:
    """At most `MOST_ROWS` rows of one picture, (rows, width, channels); a view of the tensor where it can be."""
    picture = tensor.reshape(tensor.shape[-3:])
    picture = picture.transpose(1, 2, 0) if channels_first else picture
    return picture[:: -(-picture.shape[0] // MOST_ROWS)]


def picture_statistics(rows: Array, spec: ImagePreprocess) -> dict[str, float]:
    """By name, in steps of a pixel from 0 to 255. ``rows`` are real numbers of a model's input (rows, width, channels).

    brightness: mean luma. contrast: its standard deviation. sharpness: mean difference of neighbours in a row as a
    share of the contrast, so that a dark or a pale picture is not called blurred; 0 without contrast. Of colour:
    saturation: mean of the largest channel less the smallest. warmth: red less blue. tint: green less the mean of
    red and blue. What is not finite in the input makes them NaN or infinite.
    """
    pixels: Any = rows * np.asarray(spec.std, np.float32) + np.asarray(spec.mean, np.float32)
    if spec.colour == "bgr":
        pixels = pixels[:, :, ::-1]
    luma = pixels[:, :, 0] if spec.channels == 1 else pixels @ np.asarray(LUMA_BT601, np.float32)
    contrast = float(luma.std())
    steps = float(np.abs(np.diff(luma, axis=1)).mean()) if luma.shape[1] > 1 else 0.0
    found = {
        "brightness": float(luma.mean()),
        "contrast": contrast,
        "sharpness": steps / contrast if contrast else 0.0,
    }
    if spec.channels == 3:
        red, green, blue = (float(value) for value in pixels.mean(axis=(0, 1)))
        first, second, third = (
            pixels[..., 0],
            pixels[..., 1],
            pixels[..., 2],
        )  # faster than along an axis of three
        most = np.maximum(np.maximum(first, second), third)
        least = np.minimum(np.minimum(first, second), third)
        found["saturation"] = float((most - least).mean())
        found["warmth"], found["tint"] = red - blue, green - (red + blue) / 2
    return found
