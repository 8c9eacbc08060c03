"""Whether the parts in C were compiled here. Needs no NumPy: `edgewise doctor` tells where that is missing, too."""

from importlib import import_module
from types import ModuleType


def _load(name: str) -> tuple[ModuleType | None, str]:
    try:
        return import_module(f"edgewise.preprocess.{name}"), ""
    except ModuleNotFoundError:
        return None, "not compiled here"
    except ImportError as error:  # made for another processor or another C library
        return None, f"not loadable: {error}"


RESIZE, _NO_RESIZE = _load("_resize")
JPEG, _NO_JPEG = _load("jpeg._jpeg")
"""The modules of `_resize.c` and `_jpeg.c`."""
REASON_MISSING = _NO_RESIZE or _NO_JPEG
"""Why one of them is not in use; "" where both are."""
