"""ai-edge-litert."""

from pathlib import Path

from ai_edge_litert.interpreter import Interpreter

from edgewise.backends.base import Backend
from edgewise.backends.tflite_interpreter import InterpreterBackend


def open_model(source: Path | bytes, *, threads: int | None = None) -> Backend:
    """Open a .tflite file or its bytes. Raises BackendUnavailable."""
    return InterpreterBackend(Interpreter, "litert", source, threads)
