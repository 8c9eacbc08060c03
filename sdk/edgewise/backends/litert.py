"""ai-edge-litert."""

from pathlib import Path
from typing import Any

from edgewise.backends.base import Backend, import_runtime
from edgewise.backends.delegate_plugin import load_plugin
from edgewise.backends.options import PLAIN, RuntimeOptions
from edgewise.backends.tflite_interpreter import InterpreterBackend
from edgewise.delegate import Delegate


def library() -> Any:
    """LiteRT's interpreter module. Raises BackendUnavailable where it is missing or broken."""
    return import_runtime("litert", "ai_edge_litert.interpreter")


def open_model(
    source: Path | bytes, *, threads: int | None = None, options: RuntimeOptions = PLAIN
) -> Backend:
    """Open a .tflite file or its bytes. Raises BackendUnavailable."""
    if options.weight_cache:
        from edgewise.backends.litert_compiled import open_compiled

        return open_compiled(source, threads=threads, folder=options.weight_cache)
    plugin = open_delegate(options.delegate) if options.delegate else None
    return InterpreterBackend(library().Interpreter, "litert", source, threads, plugin)


def open_delegate(delegate: Delegate) -> tuple[str, Any]:
    """Its name, and the runtime's object for it. Raises DelegateUnavailable."""
    return delegate.name, load_plugin(delegate, library().load_delegate)
