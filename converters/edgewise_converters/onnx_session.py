"""The one place that runs onnxruntime on ONNX graphs: folding, and the reference that verification trusts."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edgewise.tensors import Array, TensorSpec
from edgewise_converters.errors import SourceError

_LOG_FATAL_ONLY = 4
"""What fails is raised; onnxruntime need not print it too."""
_WAYS: tuple[tuple[list[str], bool], ...] = ((["QDQS8ToU8Transformer"], True), ([], True), ([], False))
"""Optimizers to leave out, and whether to use the others; tried in turn.

onnxruntime 1.32 gives weights per channel a scalar zero point with the one named here, and then cannot run them;
without it, it has no kernel for a Gemm of int8 that stands between QuantizeLinear nodes; some models have both.
"""
_WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"
"""onnxruntime_session_options_config_keys.h, since 1.19."""

_LARGE_BYTES = 32 << 20
"""From here on weights are not laid out anew for faster kernels: while a model loads that takes them twice, and of
large models it saves a sixth of the time (ResNet-50)."""


def _session(  # type: ignore[no-untyped-def]  # as onnxruntime takes them
    source: str | bytes, *, optimized: bool, threads: int, weights_in: Path | None = None
):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _LOG_FATAL_ONLY
    options.intra_op_num_threads = threads
    # Else products of uint8 and int8 saturate at 16 bits on x86 without VNNI, and the truth is none.
    options.add_session_config_entry("session.x64quantprecision", "1")
    # Else what stands before a product with 4-bit weights is rounded to 8 bits.
    options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")
    if weights_in is not None and isinstance(source, bytes):
        options.add_session_config_entry(_WEIGHTS_FOLDER, str(weights_in.resolve()))
    levels = onnxruntime.GraphOptimizationLevel
    failure: Exception | None = None
    for disabled, use_others in _WAYS:
        most = levels.ORT_ENABLE_EXTENDED if is_large(source) else levels.ORT_ENABLE_ALL
        options.graph_optimization_level = most if optimized and use_others else levels.ORT_DISABLE_ALL
        try:
            return onnxruntime.InferenceSession(
                source,
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=disabled,
                enable_fallback=0,  # it tries the same again, and prints to standard output
            )
        except Exception as error:  # onnxruntime raises bare RuntimeErrors and its own unrelated types
            failure = failure or error
    text = str(failure).splitlines()[0][:300]
    raise SourceError(f"onnxruntime cannot load the model: {text}") from failure


def check_valid(path: Path) -> None:
    """Raise SourceError for a model that ONNX's checker or onnxruntime refuses, or that does not run on zeros."""
    try:
        onnx.checker.check_model(path)
    except Exception as error:  # the checker's own, and whatever protobuf raises
        text = " ".join(str(error).split())[:300]
        raise SourceError(f"{path}: no valid ONNX model: {text}") from error
    reference = Reference(path, optimized=False)
    if all(size >= 0 for spec in reference.inputs for size in spec.shape):
        reference.run({spec.name: np.zeros(spec.shape, spec.dtype) for spec in reference.inputs})


def is_large(source: str | bytes | Path) -> bool:
    """Whether a model's weights are not laid out anew for it. A model as bytes has its large weights elsewhere."""
    size = len(source) if isinstance(source, bytes) else Path(source).stat().st_size
    return size >= _LARGE_BYTES


def compute(model: onnx.ModelProto) -> list[Array]:
    """The outputs of a model without inputs. Raises SourceError."""
    session = _session(model.SerializeToString(), optimized=False, threads=1)
    try:
        return list(session.run(None, {}))
    except Exception as error:
        text = str(error).splitlines()[0][:300]
        raise SourceError(f"onnxruntime cannot compute the model's constants: {text}") from error


class Reference:
    """The original model in onnxruntime, as the truth that a written file is held against."""

    def __init__(
        self,
        source: Path | bytes,
        *,
        optimized: bool = True,
        threads: int = 1,
        values: Mapping[str, Array] | None = None,
        weights_in: Path | None = None,
    ) -> None:
        """``source`` is a file or the model itself; ``values`` are inputs always the same, which need not be fed.

        ``weights_in`` is the folder of the files that hold the weights of a model that does not hold them itself.
        """
        self._values = dict(values or {})
        self._session = _session(
            source if isinstance(source, bytes) else str(source),
            optimized=optimized,
            threads=threads,
            weights_in=weights_in,
        )
        self.inputs = tuple(_spec(v) for v in self._session.get_inputs() if v.name not in self._values)
        self.outputs = tuple(map(_spec, self._session.get_outputs()))
        self.input_names = [value.name for value in self._session.get_inputs()]
        self.output_names = [value.name for value in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name. Raises SourceError when the model cannot run on these inputs."""
        try:
            results: Sequence[Array] = self._session.run(None, {**self._values, **self._in_half(inputs)})
        except Exception as error:
            text = str(error).splitlines()[0][:300]
            raise SourceError(f"onnxruntime cannot run the original model: {text}") from error
        return dict(zip(self.output_names, results, strict=True))

    def _in_half(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The inputs, rounded to float16 where the model takes that."""
        halves = {spec.name for spec in self.inputs if spec.dtype == "float16"}
        return {n: array.astype(np.float16) if n in halves else array for n, array in inputs.items()}

    def close(self) -> None:
        """Give the session's memory back; `run` must not be called again."""
        self._session = None


def _spec(argument: Any) -> TensorSpec:
    """What onnxruntime says of an input or output; an open dimension is -1."""
    found = re.fullmatch(r"tensor\((\w+)\)", argument.type)
    if found is None:
        raise SourceError(f"'{argument.name}' is a {argument.type}, expected a tensor")
    name = {"float": "float32", "double": "float64"}.get(found[1], found[1])
    shape = tuple(size if isinstance(size, int) else -1 for size in argument.shape)
    return TensorSpec(argument.name, shape, name)
