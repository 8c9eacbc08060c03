"""ai-edge-litert."""

from pathlib import Path
from typing import Any

from edgewise.backends.base import Backend, import_runtime
from edgewise.backends.tflite_interpreter import InterpreterBackend


def library() -> Any:
    """LiteRT's interpreter module. Raises BackendUnavailable where it is missing or broken."""
    return import_runtime("litert", "ai_edge_litert.interpreter")


def open_model(source: Path | bytes, *, threads: int | None = None) -> Backend:
    """Open a .tflite file or its bytes. Raises BackendUnavailable."""
    return InterpreterBackend(library().Interpreter, "litert", source, threads)
