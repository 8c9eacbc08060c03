"""tflite-runtime, the only TensorFlow Lite for 32-bit ARM."""

from pathlib import Path
from typing import Any

from edgewise.backends.base import Backend, import_runtime
from edgewise.backends.tflite_interpreter import InterpreterBackend


def library() -> Any:
    """Its interpreter module. Raises BackendUnavailable where it is missing or broken."""
    return import_runtime("tflite-runtime", "tflite_runtime.interpreter")


def open_model(source: Path | bytes, *, threads: int | None = None) -> Backend:
    """Open a .tflite file or its bytes. Raises BackendUnavailable."""
    return InterpreterBackend(library().Interpreter, "tflite-runtime", source, threads)
