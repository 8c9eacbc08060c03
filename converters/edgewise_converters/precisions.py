"""The names of precisions, and which follows when one is not good enough."""

from collections.abc import Collection

from edgewise_converters.as_source import AS_SOURCE
from edgewise_converters.quantize.ranges import CHOOSERS

PRECISIONS = (
    "auto",
    "fp32",
    "fp16",
    "weights8",
    "dynamic",
    "int8",
    "mixed",
    "mixed16",
    "int16x8",
    "int4",
    AS_SOURCE,
)
_STEP_DOWN = {
    "int4": "dynamic",
    "int8": "mixed",
    "mixed": "mixed16",
    "mixed16": "dynamic",
    "int16x8": "dynamic",
    "dynamic": "fp16",
    "weights8": "fp16",
    "fp16": "fp32",
}
CALIBRATIONS = ("auto", *CHOOSERS)
TRIAL_CASES = 24
"""Samples by whose answers ways to quantize are judged."""


def following(precision: str, possible: Collection[str] = PRECISIONS) -> str | None:
    """What `auto` tries next when a precision is not good enough, of those the format has; None for the last."""
    step = _STEP_DOWN.get(precision)
    while step is not None and step not in possible:
        step = _STEP_DOWN.get(step)
    return step
