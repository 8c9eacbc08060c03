"""tflite-runtime, the only TensorFlow Lite for 32-bit ARM."""

from pathlib import Path

from tflite_runtime.interpreter import Interpreter, load_delegate

from edgewise.backends.base import Backend
from edgewise.backends.delegate_plugin import load_plugin
from edgewise.backends.options import PLAIN, RuntimeOptions
from edgewise.backends.tflite_interpreter import InterpreterBackend
from edgewise.errors import BackendUnavailable


def open_model(
    source: Path | bytes, *, threads: int | None = None, options: RuntimeOptions = PLAIN
) -> Backend:
    """Open a .tflite file or its bytes. Raises BackendUnavailable."""
    if options.weight_cache:
        raise BackendUnavailable(
            "tflite-runtime has no weight cache; install ai-edge-litert, or load without it"
        )
    delegate = options.delegate
    plugin = (delegate.name, load_plugin(delegate, load_delegate)) if delegate else None
    return InterpreterBackend(Interpreter, "tflite-runtime", source, threads, plugin)
