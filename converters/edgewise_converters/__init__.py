"""Trained model in, device model out: convert, compress, verify. No TensorFlow, no PyTorch, no network."""

from edgewise_converters.errors import (
    ConversionError,
    InvalidSamples,
    SourceError,
    UnknownTarget,
    UnsupportedOperator,
    VerificationFailed,
)

__all__ = [
    "ConversionError",
    "InvalidSamples",
    "SourceError",
    "UnknownTarget",
    "UnsupportedOperator",
    "VerificationFailed",
]
