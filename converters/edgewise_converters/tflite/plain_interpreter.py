"""LiteRT without XNNPACK: the same file computed by other kernels."""

from functools import partial
from pathlib import Path

from ai_edge_litert.interpreter import Interpreter, OpResolverType

from edgewise.backends import Backend
from edgewise.backends.tflite_interpreter import InterpreterBackend


def open_plain(source: Path | bytes) -> Backend:
    """Open a .tflite file or its bytes. Raises BackendUnavailable."""
    kernels = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    return InterpreterBackend(
        partial(Interpreter, experimental_op_resolver_type=kernels), "litert", source, 1
    )
