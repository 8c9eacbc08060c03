"""Trained model in, device model out: convert, compress, verify. No TensorFlow, no PyTorch, no network.

>>> from pathlib import Path
>>> from edgewise_converters import Request, convert
>>> result = convert(Request(source=Path("model.onnx"), target="rpi4"))  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from edgewise_converters.errors import (
    ConversionError,
    InvalidSamples,
    RuntimeMissing,
    SourceError,
    UnknownTarget,
    UnsupportedOperator,
    VerificationFailed,
)

if TYPE_CHECKING:
    from edgewise_converters.comparison import Comparison, compare
    from edgewise_converters.pipeline import convert
    from edgewise_converters.readers.torch_program import save_module
    from edgewise_converters.request import Request, Result

_LAZY = {
    "Comparison": "comparison",
    "Request": "request",
    "Result": "request",
    "compare": "comparison",
    "convert": "pipeline",
    "save_module": "readers.torch_program",
}

__all__ = [
    "Comparison", "ConversionError", "InvalidSamples", "Request", "Result", "RuntimeMissing", "SourceError",
    "UnknownTarget", "UnsupportedOperator", "VerificationFailed", "compare", "convert", "save_module",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import on first use: the command's help needs neither onnx nor numpy."""
    if name not in _LAZY:
        raise AttributeError(f"module 'edgewise_converters' has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(f"edgewise_converters.{_LAZY[name]}"), name)
    return value
