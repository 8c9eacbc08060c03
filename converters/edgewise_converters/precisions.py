"""The names of precisions, and which follows when one is not good enough."""

from edgewise_converters.as_source import AS_SOURCE
from edgewise_converters.quantize.ranges import CHOOSERS

PRECISIONS = ("auto", "fp32", "fp16", "weights8", "dynamic", "int8", "mixed", "int16x8", "int4", AS_SOURCE)
STEP_DOWN = {
    "int4": "dynamic",
    "int8": "mixed",
    "mixed": "dynamic",
    "int16x8": "dynamic",
    "dynamic": "fp16",
    "weights8": "fp16",
    "fp16": "fp32",
}
"""What `auto` tries next when a precision is not good enough."""
CALIBRATIONS = ("auto", *CHOOSERS)
TRIAL_CASES = 24
"""Samples by whose answers ways to quantize are judged."""
