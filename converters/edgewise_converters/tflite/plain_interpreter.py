"""LiteRT without XNNPACK: the same file computed by other kernels."""

from functools import partial
from pathlib import Path

from ai_edge_litert.interpreter import Interpreter, OpResolverType

from edgewise.backends import Backend, litert
from edgewise.backends.tflite_interpreter import InterpreterBackend
from edgewise.errors import BackendUnavailable
from edgewise_converters.errors import VerificationFailed


def open_plain(source: Path | bytes) -> Backend:
    """Open a .tflite file or its bytes. Raises BackendUnavailable."""
    kernels = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    return InterpreterBackend(
        partial(Interpreter, experimental_op_resolver_type=kernels), "litert", source, 1
    )


def open_any(network: bytes, *, threads: int = 1) -> Backend:
    """With XNNPACK or, where that does not take every tensor as an output, without. Raises VerificationFailed."""
    try:
        return litert.open_model(network, threads=threads)
    except BackendUnavailable:
        try:
            return open_plain(network)
        except BackendUnavailable as error:
            raise VerificationFailed(f"the float network does not run in LiteRT: {error}") from error
