"""tflite-runtime, the only TensorFlow Lite for 32-bit ARM."""

from pathlib import Path
from typing import Any

from edgewise.backends.base import Backend, import_runtime
from edgewise.backends.delegate_plugin import load_plugin
from edgewise.backends.options import PLAIN, RuntimeOptions
from edgewise.backends.tflite_interpreter import InterpreterBackend
from edgewise.delegate import Delegate
from edgewise.errors import BackendUnavailable


def library() -> Any:
    """Its interpreter module. Raises BackendUnavailable where it is missing or broken."""
    return import_runtime("tflite-runtime", "tflite_runtime.interpreter")


def open_model(
    source: Path | bytes, *, threads: int | None = None, options: RuntimeOptions = PLAIN
) -> Backend:
    """Open a .tflite file or its bytes. Raises BackendUnavailable."""
    if options.weight_cache:
        raise BackendUnavailable(
            "tflite-runtime has no weight cache; install ai-edge-litert, or load without it"
        )
    plugin = open_delegate(options.delegate) if options.delegate else None
    return InterpreterBackend(library().Interpreter, "tflite-runtime", source, threads, plugin)


def open_delegate(delegate: Delegate) -> tuple[str, Any]:
    """Its name, and the runtime's object for it. Raises DelegateUnavailable."""
    return delegate.name, load_plugin(delegate, library().load_delegate)
