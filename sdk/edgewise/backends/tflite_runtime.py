"""tflite-runtime, the only TensorFlow Lite for 32-bit ARM."""

from pathlib import Path
from typing import Any

from tflite_runtime.interpreter import Interpreter, load_delegate

from edgewise.backends.base import Backend
from edgewise.backends.delegate_plugin import load_plugin
from edgewise.backends.options import PLAIN, RuntimeOptions
from edgewise.backends.tflite_interpreter import InterpreterBackend
from edgewise.delegate import Delegate
from edgewise.errors import BackendUnavailable


def open_model(
    source: Path | bytes, *, threads: int | None = None, options: RuntimeOptions = PLAIN
) -> Backend:
    """Open a .tflite file or its bytes. Raises BackendUnavailable."""
    if options.weight_cache:
        raise BackendUnavailable(
            "tflite-runtime has no weight cache; install ai-edge-litert, or load without it"
        )
    plugin = open_delegate(options.delegate) if options.delegate else None
    return InterpreterBackend(Interpreter, "tflite-runtime", source, threads, plugin)


def open_delegate(delegate: Delegate) -> tuple[str, Any]:
    """Its name, and the runtime's object for it. Raises DelegateUnavailable."""
    return delegate.name, load_plugin(delegate, load_delegate)
