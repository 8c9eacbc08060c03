"""A delegate's shared library, loaded by the runtime's own ``load_delegate`` once it is known to be one."""

import ctypes
from collections.abc import Callable
from typing import Any

from edgewise.delegate import KNOWN, Delegate
from edgewise.errors import DelegateUnavailable, InvalidInput

_SYMBOLS = ("tflite_plugin_create_delegate", "tflite_plugin_destroy_delegate")
"""tensorflow/lite/delegates/external/external_delegate_interface.h"""


def load_plugin(delegate: Delegate, load_delegate: Callable[[str, dict[str, str]], Any]) -> Any:
    """The runtime's object for the delegate.

    Raises DelegateUnavailable, and InvalidInput for a name that means nothing. The library is looked at before the
    runtime is, which reports one without these functions badly.
    """
    if delegate.library not in KNOWN and not _is_library(delegate.library):
        raise InvalidInput(
            f"delegate: got {delegate.library!r}, expected {', '.join(map(repr, KNOWN))}, or the path of a shared "
            "library (.so)"
        )
    try:
        library = ctypes.CDLL(delegate.file)
    except OSError as error:
        raise DelegateUnavailable(f"its library cannot be loaded: {error}; {delegate.remedy}") from error
    missing = [symbol for symbol in _SYMBOLS if not hasattr(library, symbol)]
    if missing:
        raise DelegateUnavailable(
            f"{delegate.file} is no delegate: it lacks the function {missing[0]}; {delegate.remedy}"
        )
    try:
        return load_delegate(delegate.file, {key: str(value) for key, value in delegate.options.items()})
    except (ValueError, RuntimeError, OSError) as error:
        said = " ".join(str(error).split("\n", 1)[1:]).strip() or "it gave no reason"
        remedy = delegate.remedy if delegate.library in KNOWN else "look at its options, and at its device"
        raise DelegateUnavailable(f"it refuses to start: {said}; {remedy}") from error


def _is_library(name: str) -> bool:
    return "/" in name or ".so" in name
