"""Which runtimes work here, found by running a tiny model in each: that one imports proves nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path

import numpy as np

from edgewise.backends.base import Backend, first_line
from edgewise.backends.options import PLAIN, RuntimeOptions
from edgewise.backends.quiet import without_chatter
from edgewise.delegate import Delegate
from edgewise.errors import BackendUnavailable, DelegateUnavailable


@dataclass(frozen=True)
class _Runtime:
    name: str
    module: str
    format: str

    def import_library(self) -> None:
        """Raises BackendUnavailable."""
        import_module(self.module).library()

    def open(self, source: Path | bytes, threads: int | None, options: RuntimeOptions = PLAIN) -> Backend:
        open_model: Callable[..., Backend] = import_module(self.module).open_model
        return open_model(source, threads=threads, options=options)


_RUNTIMES = (
    _Runtime("litert", "edgewise.backends.litert", "tflite"),
    _Runtime("tflite-runtime", "edgewise.backends.tflite_runtime", "tflite"),
    _Runtime("onnxruntime", "edgewise.backends.onnxruntime", "onnx"),
)
"""In the order in which they are tried: LiteRT is the faster of the two for .tflite files."""
_PROBE_GAIN = np.float32(8)
"""What the probe beside this file multiplies a pixel by: `edgewise.tiny_model` for one pixel and three classes."""


def available() -> dict[str, str]:
    """Every runtime's name, with "" when it works here and otherwise the reason why it does not."""
    return {runtime.name: _probe(runtime) for runtime in _RUNTIMES}


def probe(name: str) -> str:
    """Why the runtime of this name does not work here, or ""."""
    return next(_probe(runtime) for runtime in _RUNTIMES if runtime.name == name)


def open_backend(
    source: Path | bytes,
    form: str,
    *,
    name: str | None = None,
    threads: int | None = None,
    options: RuntimeOptions = PLAIN,
) -> Backend:
    """Open a model file, or its bytes, in the runtime of that name, or in the first that can run it.

    ``form`` is tflite or onnx. Raises BackendUnavailable saying why each candidate would not do, and
    DelegateUnavailable as soon as the delegate is what will not do.
    """
    reasons = []
    for runtime in _candidates(form, name):
        reason = _probe(runtime)
        if not reason:
            try:
                return runtime.open(source, threads, options)
            except DelegateUnavailable:
                raise
            except BackendUnavailable as error:
                reason = str(error)
        reasons.append(reason if reason.startswith(runtime.name) else f"{runtime.name}: {reason}")
    where = source if isinstance(source, Path) else "model"
    raise BackendUnavailable(f"{where}: {'; '.join(reasons)}")


def start_delegate(delegate: Delegate) -> None:
    """Start a delegate of .tflite files in the first runtime that works here. Raises BackendUnavailable."""
    for runtime in _candidates("tflite", None):
        if not _probe(runtime):
            import_module(runtime.module).open_delegate(delegate)
            return
    raise BackendUnavailable("no runtime for .tflite files works here")


def prepare(form: str, *, name: str | None = None) -> None:
    """Import the runtime that `open_backend` would take: what it takes later is the model's."""
    for runtime in _candidates(form, name):
        if not _probe(runtime):
            return


def try_backends(path: Path, form: str) -> dict[str, str]:
    """Every runtime for this format, with "" when it can open this file here, otherwise why not."""
    reasons = {}
    for runtime in _candidates(form, None):
        try:
            open_backend(path, form, name=runtime.name, threads=1).close()
            reasons[runtime.name] = ""
        except BackendUnavailable as error:
            reasons[runtime.name] = str(error).removeprefix(f"{path}: ").removeprefix(f"{runtime.name}: ")
    return reasons


def _candidates(form: str, name: str | None) -> list[_Runtime]:
    fitting = [runtime for runtime in _RUNTIMES if runtime.format == form]
    if name is None:
        return fitting
    chosen = [runtime for runtime in fitting if runtime.name == name]
    if not chosen:
        import difflib  # only for whoever mistyped

        names = [runtime.name for runtime in fitting]
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise BackendUnavailable(
            f"backend for .{form}: got '{name}', expected one of {', '.join(names)}{hint}"
        )
    return chosen


@lru_cache
def _probe(runtime: _Runtime) -> str:
    """Why this runtime does not work here, or ""."""
    try:
        with without_chatter(drop_all=True):
            runtime.import_library()
    except BackendUnavailable as error:
        return str(error).removeprefix(f"{runtime.name}: ")
    try:
        with without_chatter(drop_all=True):
            return _run_tiny_model(runtime)
    except Exception as error:  # a broken installation may raise anything
        if runtime.name == "tflite-runtime" and int(np.__version__.split(".")[0]) >= 2:
            return f"installed, and fails with NumPy {np.__version__}: it needs numpy<2"
        return f"installed, and cannot run a tiny model: {first_line(error)}"


def _run_tiny_model(runtime: _Runtime) -> str:
    content = Path(__file__).with_name(f"probe.{runtime.format}").read_bytes()
    backend = runtime.open(content, 1)
    pixel = np.array([0.25, 0.5, 1.0], np.float32).reshape(backend.inputs()[0].shape)
    scores = backend.run([pixel])[0]
    backend.close()
    if not np.array_equal(scores.ravel(), pixel.ravel() * _PROBE_GAIN):
        return f"installed, and computes a tiny model wrongly: {scores.tolist()}"
    return ""
