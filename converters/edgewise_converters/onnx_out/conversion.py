"""A conversion whose output is an ONNX file for onnxruntime: what it does otherwise than one to TFLite."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir

from edgewise.model_card import ModelCard
from edgewise_converters.as_source import AS_SOURCE
from edgewise_converters.conversion import Conversion
from edgewise_converters.errors import ConversionError, UnknownTarget
from edgewise_converters.lower import LoweredGraph
from edgewise_converters.lower.layout import identity
from edgewise_converters.onnx_out.choice import PRECISIONS, at_precision
from edgewise_converters.onnx_out.opset import serialized
from edgewise_converters.onnx_out.prepare import prepare
from edgewise_converters.onnx_out.summary import layers_of
from edgewise_converters.onnx_out.trials import RUNTIME, Trials
from edgewise_converters.original import Original
from edgewise_converters.passes.graph_edit import producer
from edgewise_converters.passes.keep_quantization import is_quantized
from edgewise_converters.plan import Plan, tensor_cards
from edgewise_converters.progress import Progress
from edgewise_converters.readers import Source
from edgewise_converters.readers.onnx_file import static_shape
from edgewise_converters.request import Request
from edgewise_converters.static_precisions import byte_quantization
from edgewise_converters.tflite.graph import Graph, Tensor
from edgewise_converters.verify import Case

_RESHAPES = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity")


class OnnxConversion(Conversion):
    """One conversion to an ONNX file."""

    precisions: tuple[str, ...] = PRECISIONS

    def __init__(self, request: Request, original: Original, out: Path, progress: Progress) -> None:
        super().__init__(request, original, out, progress)
        if self.target.no_onnxruntime:
            raise UnknownTarget(
                f"--format onnx for {self.target.name}: {self.target.no_onnxruntime}; "
                "leave out --format to write TFLite"
            )
        _refuse_tflite_options(request)
        self.target = replace(self.target, runtimes=(RUNTIME,))
        self._model: ir.Model | None = None
        self._kept = False
        """Whether the model is quantized as its source is."""

    def _lower(self) -> tuple[Source, LoweredGraph]:
        """Read and rewrite; what the plan wants to know is the ends of the model."""
        source, model = self.original.model(self.progress.stage)
        for text in source.notices:
            self._notice(text)
        self.progress.stage("Rewriting the graph")
        keep = self.keeps_quantization and is_quantized(model)
        self._model, self._kept = prepare(model, keep_quantization=keep), keep
        return source, replace(_ends(self._model), keeps_quantization=keep)

    def _make(self, plan: Plan, precision: str, lowered: list[LoweredGraph], trials: list[Case]) -> ModelCard:
        if precision != AS_SOURCE and self._kept:
            self._lower()  # it steps down from the source's own quantization
        assert self._model is not None
        compared = Trials(plan.calibration, trials, plan.layouts, self.progress.stage, self.progress.tick)
        inputs = {name: byte_quantization(image) for name, image in plan.images.items()}
        method = self.request.calibration
        choice = at_precision(
            self._model, precision, compared, method=method, inputs=inputs, rescue=self.request.rescue
        )
        for why, agreement in choice.tried:
            self.journal.tried(why, agreement)
        self.journal.method = choice.how
        self.network = serialized(choice.model)
        ends = _ends(self._model).graph
        activation = "probabilities" if _ends_in_softmax(self._model.graph.outputs[0]) else "logits"
        layers = layers_of(choice.model.graph)
        named = f"{layers[0].precision} (as in the source)" if precision == AS_SOURCE else precision
        card = self._card(plan, named, tensor_cards(plan, ends.inputs, ends.outputs, activation))
        return replace(card, layers=layers, calibration=dict(choice.ranges))

    def _check_network(self) -> None:
        """Whatever onnxruntime loads it can run."""


def _refuse_tflite_options(request: Request) -> None:
    """Raise ConversionError for what only a TFLite file can have."""
    usual = Request(source=request.source, target=request.target)
    flags = {
        "weights": "--weights",
        "activations": "--activations",
        "ends": "--io",
        "smallest": "--smallest",
    }
    for option, flag in flags.items():
        if getattr(request, option) != getattr(usual, option):
            raise ConversionError(f"{flag}: not there for --format onnx; leave it out")
    if request.engine == "onnx2tf":
        raise ConversionError("--engine onnx2tf: it writes TFLite; leave it out, or leave out --format onnx")


def _ends(model: ir.Model) -> LoweredGraph:
    """The inputs and outputs, each in the layout of the original."""
    graph = Graph(str(model.graph.name or "model"))
    graph.inputs = [_tensor(value) for value in model.graph.inputs]
    graph.outputs = [_tensor(value) for value in model.graph.outputs]
    layouts = [{t.name: identity(len(t.shape)) for t in ends} for ends in (graph.inputs, graph.outputs)]
    return LoweredGraph(graph, layouts[0], layouts[1])


def _tensor(value: ir.Value) -> Tensor:
    dtype = np.dtype(np.float32) if value.dtype is None else np.dtype(value.dtype.numpy())
    return Tensor(str(value.name), static_shape(value), dtype)


def _ends_in_softmax(value: ir.Value) -> bool:
    for op_type in _RESHAPES:
        node = producer(value, op_type)
        if node is not None and node.inputs[0] is not None:
            return _ends_in_softmax(node.inputs[0])
    return producer(value, "Softmax") is not None
