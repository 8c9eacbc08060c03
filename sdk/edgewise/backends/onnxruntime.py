"""onnxruntime, on the processor."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgewise import onnx_properties
from edgewise.backends.base import check_inputs, first_line, import_runtime
from edgewise.backends.onnxruntime_trace import read_trace
from edgewise.backends.options import PLAIN, RuntimeOptions
from edgewise.delegate import Delegate
from edgewise.errors import BackendUnavailable, DelegateUnavailable, InvalidInput
from edgewise.placement import PlacedOperator
from edgewise.tensors import Array, TensorSpec

_ERRORS_ONLY = 3
"""OrtLoggingLevel: 2 is warning, 3 is error."""

_SUFFIX = "ExecutionProvider"
_CPU = f"CPU{_SUFFIX}"
_SPINNING = "session.intra_op.allow_spinning"

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(bool)": "bool",
    **{f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}

_EXACT, _AS_ON_ARM = "session.x64quantprecision", "session.qdqisint8allowed"
_WAYS: tuple[tuple[str, list[str]], ...] = ((_EXACT, []), (_EXACT, ["QDQS8ToU8Transformer"]), ("", []))
"""An option to switch on, and optimizers to leave out; tried in turn.

Products of uint8 and int8 saturate at 16 bits on x86 without VNNI unless onnxruntime is told to be exact; on ARM they
never do. Exactness makes uint8 of int8, which onnxruntime 1.32 does not manage for every model.
"""


def library() -> Any:
    """onnxruntime's own module. Raises BackendUnavailable where it is missing or broken."""
    return import_runtime("onnxruntime", "onnxruntime")


class _Session:
    """One model in one InferenceSession."""

    name = "onnxruntime"

    def __init__(
        self, source: Path | bytes, threads: int | None, options: RuntimeOptions, trace: str = ""
    ) -> None:
        self._opened_with = source, threads, options
        self._session = _session(
            source if isinstance(source, bytes) else str(source), threads, options, trace
        )
        self._inputs = tuple(map(_spec, self._session.get_inputs()))
        self._outputs = tuple(map(_spec, self._session.get_outputs()))
        self._input_names = [spec.name for spec in self._inputs]
        self._output_names = [spec.name for spec in self._outputs]

    def inputs(self) -> tuple[TensorSpec, ...]:
        """What `run` wants, in order."""
        return self._inputs

    def outputs(self) -> tuple[TensorSpec, ...]:
        """What `run` gives, in order."""
        return self._outputs

    def run(self, inputs: Sequence[Array], *, views: bool = False) -> list[Array]:
        """One inference; outputs are always the caller's own."""
        check_inputs(self._inputs, inputs)
        feed = dict(zip(self._input_names, inputs, strict=True))
        try:
            outputs: list[Array] = self._session.run(self._output_names, feed)
        except Exception as error:  # as above
            raise InvalidInput(f"{self.name}: {first_line(error)}") from error
        return outputs

    def operators(self, inputs: Sequence[Array]) -> tuple[PlacedOperator, ...]:
        """See Backend.operators: another session runs them once, with onnxruntime's profiler."""
        with tempfile.TemporaryDirectory() as folder:
            session = _Session(*self._opened_with, trace=str(Path(folder) / "trace"))
            try:
                session.run(inputs)
                runs = read_trace(session.end_trace())
            except InvalidInput as error:
                raise BackendUnavailable(
                    f"{self.name}: it tells where operators run by running: {error}"
                ) from error
            finally:
                session.close()
        places = (PlacedOperator(one.kind, one.name, one.provider) for one in runs[-1].events)
        return tuple(dict.fromkeys(places))  # what is inside a loop once, not each time

    def end_trace(self) -> Path:
        """The file with what was profiled; only of a session opened with ``trace``."""
        return Path(self._session.end_profiling())

    def close(self) -> None:
        """Give the session's memory back."""
        self._session = None


def _session(model: str | bytes, threads: int | None, wanted: RuntimeOptions, trace: str) -> Any:
    """A session that computes on x86 what ARM computes, if onnxruntime manages that for this model.

    Where the file says that its activations are int8 they stay so: bit for bit what ARM answers (docs/onnx-format.md).
    """
    onnxruntime = library()
    failure: Exception | None = None
    providers = _providers(wanted.delegate)
    ways = ((_AS_ON_ARM, []), *_WAYS) if onnx_properties.has_int8_activations(model) else _WAYS
    for option, left_out in ways:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        options.intra_op_num_threads = threads or 0
        if wanted.is_sharing_cores:
            options.add_session_config_entry(_SPINNING, "0")
        if trace:
            options.enable_profiling, options.profile_file_prefix = True, trace
        if option:
            options.add_session_config_entry(option, "1")
        try:
            return onnxruntime.InferenceSession(
                model,
                options,
                providers=providers,
                disabled_optimizers=left_out,
                enable_fallback=0,  # it tries the same again, and prints to standard output
            )
        except Exception as error:  # onnxruntime's errors share no base but Exception
            failure = failure or error
    kind = DelegateUnavailable if wanted.delegate else BackendUnavailable
    raise kind(f"{_Session.name} cannot run it: {first_line(failure or RuntimeError())}") from failure


def _providers(delegate: Delegate | None) -> list[Any]:
    """The processor's last: it takes what the other leaves. Raises DelegateUnavailable."""
    if delegate is None:
        return [_CPU]
    named = {name.removesuffix(_SUFFIX).lower(): name for name in available_providers()}
    wanted = named.get(delegate.library.removesuffix(_SUFFIX).lower())
    if wanted is None:
        raise DelegateUnavailable(
            f"onnxruntime has no execution provider of this name: got {delegate.library!r}, expected one of "
            f"{', '.join(named)}; other builds of onnxruntime have others"
        )
    return [(wanted, dict(delegate.options)), _CPU]


def available_providers() -> list[str]:
    """Of the onnxruntime that is installed."""
    return list(library().get_available_providers())


def _spec(argument: Any) -> TensorSpec:
    if argument.type not in _DTYPES:
        raise BackendUnavailable(
            f"tensor '{argument.name}': got {argument.type}, expected a tensor of numbers"
        )
    shape = tuple(size if isinstance(size, int) else -1 for size in argument.shape)
    return TensorSpec(name=argument.name, shape=shape, dtype=_DTYPES[argument.type])


def open_model(
    source: Path | bytes, *, threads: int | None = None, options: RuntimeOptions = PLAIN, trace: str = ""
) -> _Session:
    """Open an .onnx file or its bytes. Raises BackendUnavailable.

    With ``trace``, the beginning of a file's path, onnxruntime's profiler runs until `end_trace`.
    """
    if options.weight_cache:
        raise BackendUnavailable("onnxruntime has no weight cache; it is for .tflite files in litert")
    return _Session(source, threads, options, trace)
