"""The original model, in whatever format it came, as the truth that another file is held against."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from edgewise.errors import EdgewiseError
from edgewise.tensors import Array, TensorSpec
from edgewise_converters.errors import SourceError
from edgewise_converters.onnx_session import Reference as OnnxReference
from edgewise_converters.readers.source import ONNX, TORCH, format_of
from edgewise_converters.tflite.forgetting_interpreter import ForgettingInterpreter


class Reference(Protocol):
    """One opened model that answers in its own layout and in real numbers. Not for several threads at once."""

    inputs: tuple[TensorSpec, ...]
    """What `run` wants; a dimension of -1 is open. A quantized input is fed real numbers."""
    outputs: tuple[TensorSpec, ...]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name. Raises SourceError when the model cannot run on these inputs."""
        ...

    def close(self) -> None:
        """Give the memory back; `run` must not be called again."""
        ...


def open_reference(
    path: Path, *, values: Mapping[str, Array] | None = None, form: str | None = None, optimized: bool = True
) -> Reference:
    """Open a model file: ONNX in onnxruntime, TFLite in LiteRT, a torch program in torch.

    ``form`` is its format where that is known; ``values`` are inputs that are always the same; ``optimized`` is
    False to have the same numbers computed by other kernels. Raises SourceError.
    """
    form = form or format_of(path)
    if form == ONNX:
        return OnnxReference(path, optimized=optimized, values=values)
    if values:
        raise SourceError(f"--value: a {form} model has no inputs that can be made constants")
    if form == TORCH:
        from edgewise_converters.readers.torch_program import TorchReference

        return TorchReference(path)
    return TfliteReference(path, optimized=optimized)


class TfliteReference:
    """A TFLite file in LiteRT: float, or quantized and fed through its quantization."""

    def __init__(self, source: Path | bytes, *, optimized: bool = True) -> None:
        try:
            self._backend = ForgettingInterpreter(source, plain=not optimized)
        except EdgewiseError as error:
            raise SourceError(f"LiteRT cannot load the model: {error}") from error
        self.inputs = _unique(self._backend.inputs())
        self.outputs = _unique(self._backend.outputs())

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name, dequantized. Raises SourceError."""
        feed = [_as_stored(inputs[spec.name], spec) for spec in self.inputs]
        try:
            answers = self._backend.run(feed)
        except EdgewiseError as error:
            raise SourceError(f"LiteRT cannot run the original model: {error}") from error
        return {spec.name: _as_real(a, spec) for spec, a in zip(self.outputs, answers, strict=True)}

    def close(self) -> None:
        """Give the interpreter's memory back."""
        self._backend.close()


def _unique(specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """The specs under names of their own: foreign files may give two tensors one name, or none."""
    names = unique_names([spec.name for spec in specs])
    return tuple(
        TensorSpec(name, spec.shape, spec.dtype, spec.layout, spec.quantization)
        for name, spec in zip(names, specs, strict=True)
    )


def unique_names(names: Sequence[str]) -> list[str]:
    """The same names, those that are empty or taken numbered."""
    found: list[str] = []
    for name in names:
        wanted, count = name or "tensor", 1
        while wanted in found or (count > 1 and wanted in names):
            count += 1
            wanted = f"{name or 'tensor'}_{count}"
        found.append(wanted)
    return found


def _as_stored(array: Array, spec: TensorSpec) -> Array:
    if spec.quantization is not None and spec.dtype != "float32" and array.dtype.kind == "f":
        array = spec.quantization.quantize(array, spec.dtype)
    return np.asarray(array, spec.dtype, order="C")


def _as_real(array: Array, spec: TensorSpec) -> Array:
    if spec.quantization is None or spec.dtype == "float32":
        return array
    return spec.quantization.dequantize(array)
