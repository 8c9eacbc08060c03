"""The model to convert, whatever its format: read into a TFLite graph as often as needed, and asked for the truth."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import onnx_ir as ir

from edgewise_converters.engines.choice import AUTO, OWN, EngineChoice
from edgewise_converters.entry_layout import feed_as
from edgewise_converters.errors import ConversionError, SourceError
from edgewise_converters.lower import LoweredGraph, lower_graph
from edgewise_converters.lower.layout import identity
from edgewise_converters.lower.peephole import fuse_activations
from edgewise_converters.onnx_session import Reference as OnnxReference
from edgewise_converters.onnx_session import check_valid, is_large
from edgewise_converters.passes import canonicalize
from edgewise_converters.passes.keep_quantization import is_quantized
from edgewise_converters.readers import Source, read_onnx, torch_program
from edgewise_converters.readers.onnx_skeleton import read_skeleton
from edgewise_converters.readers.source import ONNX, TFLITE, TORCH, digest_of, format_of
from edgewise_converters.readers.tflite_file import read_tflite
from edgewise_converters.reference import Reference, open_reference
from edgewise_converters.resummed import resummed


class Original:
    """One model file. A context manager: what was exported on the way is gone after it."""

    def __init__(
        self,
        path: Path,
        *,
        shapes: Mapping[str, tuple[int, ...]] | None = None,
        values: Mapping[str, float] | None = None,
        layouts: Mapping[str, str] | None = None,
        engine: str = AUTO,
    ) -> None:
        """Raises SourceError for what is no model file; the rest is looked at by `lower`."""
        self.path = path
        self._shapes, self._values, self._layouts = shapes, values, layouts or {}
        self.format = format_of(path)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._exported: Path | None = None
        if self.format == TFLITE and engine not in (AUTO, OWN):
            raise SourceError(
                f"--engine {engine}: {path.name} is a TFLite model, expected an ONNX model for it"
            )
        self._choice = EngineChoice(engine)
        if self.format != ONNX and values:
            raise SourceError(f"--value: {path.name} is a {self.format} model, expected an ONNX model for it")

    def lower(
        self, stage: Callable[[str], None], *, keep_quantization: bool = False
    ) -> tuple[Source, LoweredGraph]:
        """Read, rewrite and lower, from the file each time: no weights are kept. Raises ConversionError.

        ``keep_quantization``: integers that a quantized ONNX model states stay integers (`quantize.stated`).
        """
        if self.format == TFLITE:
            source, lowered = self._tflite(stage)
        else:
            try:
                source, lowered = self._choice.lower(
                    stage,
                    lambda: self._lowered(stage, keep_quantization),
                    lambda: self.model(stage),
                    self.reference,
                )
            except ConversionError:
                raise
            except Exception:  # an invalid model breaks anything anywhere; what breaks on a valid one is ours
                check_valid(self.path)
                raise
        feed_as(lowered, source, self._layouts)
        return source, lowered

    def _tflite(self, stage: Callable[[str], None]) -> tuple[Source, LoweredGraph]:
        stage("Reading the model")
        source, graph = read_tflite(self.path, shapes=self._shapes)
        fuse_activations(graph)
        inputs = {tensor.name: identity(len(tensor.shape)) for tensor in graph.inputs}
        outputs = {tensor.name: identity(len(tensor.shape)) for tensor in graph.outputs}
        return source, LoweredGraph(graph, inputs, outputs)

    def _lowered(self, stage: Callable[[str], None], keep_quantization: bool) -> tuple[Source, LoweredGraph]:
        source, model = self.model(stage)
        stage("Rewriting the graph")
        canonicalize(model, keep_quantization_of_source=keep_quantization and is_quantized(model))
        lowered = lower_graph(model)
        _let_go_of_weights(model)
        return source, lowered

    def model(self, stage: Callable[[str], None]) -> tuple[Source, ir.Model]:
        """Read as an ONNX model, from the file each time. Raises SourceError for a source that is none."""
        stage("Reading the model")
        if self.format == TFLITE:
            raise SourceError(
                f"{self.path}: a TFLite model cannot become an ONNX one, expected an ONNX model for --format onnx; "
                "leave out --format to write TFLite"
            )
        source, model = read_onnx(self._onnx(), shapes=self._shapes, values=self._values)
        if self.format == TORCH:
            source = replace(source, path=self.path, sha256=digest_of(self.path), opset=0, format=TORCH)
        return source, model

    def _onnx(self) -> Path:
        """The model as an ONNX file: itself, or its export, made once."""
        if self.format == ONNX:
            return self.path
        if self._exported is None:
            self._folder = tempfile.TemporaryDirectory(prefix="edgewise-")
            self._exported = torch_program.export_onnx(self.path, Path(self._folder.name))
        return self._exported

    def reference(self, source: Source) -> Reference:
        """The original, opened. Close it when done."""
        if self.format == TORCH:
            return torch_program.TorchReference(self.path, exported=self._onnx())
        return open_reference(self.path, values=source.values, form=self.format)

    def otherwise(self, source: Source) -> Reference:
        """The original computed in another order, to see what float32 rounding alone amounts to."""
        if self.format == TFLITE:
            return open_reference(self.path, form=self.format, optimized=False)
        path = self._onnx()
        if source.computes_in_half:
            _, model = read_onnx(path, shapes=self._shapes)
            return OnnxReference(ir.to_proto(model).SerializeToString(), optimized=False, values=source.values,
                                 weights_in=path.parent)  # fmt: skip
        # A large original was asked with plain kernels: here those come that lay weights out anew, from mapped ones.
        large = is_large(path)
        other = resummed(path) or (read_skeleton(path).SerializeToString() if large else path)
        return OnnxReference(other, optimized=large, values=source.values, weights_in=path.parent)

    def close(self) -> None:
        """Remove what was exported and what a second engine wrote."""
        self._choice.close()
        if self._folder is not None:
            self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _let_go_of_weights(model: ir.Model) -> None:
    """Nodes and values refer to each other: what they hold would stay until Python next looks for such circles."""
    for value in model.graph.initializers.values():
        value.const_value = None
