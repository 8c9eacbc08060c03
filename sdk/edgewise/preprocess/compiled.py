"""Whether the resize in C was compiled here. Needs no NumPy: `edgewise doctor` tells where that is missing, too."""

from importlib import import_module
from types import ModuleType


def _load() -> tuple[ModuleType | None, str]:
    try:
        return import_module("edgewise.preprocess._resize"), ""
    except ModuleNotFoundError:
        return None, "not compiled here"
    except ImportError as error:  # made for another processor or another C library
        return None, f"not loadable: {error}"


RESIZE, REASON_MISSING = _load()
"""The module of `_resize.c`, and why it is not in use; "" where it is."""
