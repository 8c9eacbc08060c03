"""tflite-runtime, the only TensorFlow Lite for 32-bit ARM."""

from pathlib import Path

from tflite_runtime.interpreter import Interpreter

from edgewise.backends.base import Backend
from edgewise.backends.tflite_interpreter import InterpreterBackend


def open_model(source: Path | bytes, *, threads: int | None = None) -> Backend:
    """Open a .tflite file or its bytes. Raises BackendUnavailable."""
    return InterpreterBackend(Interpreter, "tflite-runtime", source, threads)
