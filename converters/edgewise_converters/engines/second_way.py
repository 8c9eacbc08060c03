"""A model through the second converter: its file read back as a graph, named and laid out as the original says."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir

from edgewise.backends import open_backend
from edgewise.errors import EdgewiseError
from edgewise_converters.engines.axes import Place, Places, find_places
from edgewise_converters.engines.catalogue import ENGINES
from edgewise_converters.engines.installation import Installed
from edgewise_converters.engines.limited_process import Limits
from edgewise_converters.engines.onnx2tf import convert_apart
from edgewise_converters.errors import ConversionError, EngineError
from edgewise_converters.lower import LoweredGraph
from edgewise_converters.lower.graph import make_names_unique
from edgewise_converters.lower.layout import CHANNELS_LAST, Layout, identity
from edgewise_converters.readers.source import Source
from edgewise_converters.readers.tflite_file import read_tflite
from edgewise_converters.reference import Reference
from edgewise_converters.samples import InputSpec, noise
from edgewise_converters.tflite.graph import Graph, Operator, Tensor

SECOND = ENGINES["onnx2tf"]
"""The only one so far."""


class SecondWay:
    """One model converted by the second engine, once; its graph can be had as often as needed."""

    def __init__(self, engine: Installed, folder: Path, *, limits: Limits | None = None) -> None:
        """``folder`` is where everything it writes lies; the caller removes it."""
        self.engine, self._folder, self._limits = engine, folder, limits or Limits()
        self._file: Path | None = None
        self._places: Places | None = None

    @property
    def described(self) -> str:
        """Its name and version."""
        return f"{self.engine.name} {self.engine.version}"

    def lower(
        self, source: Source, model: ir.Model, reference: Callable[[], Reference]
    ) -> tuple[Source, LoweredGraph]:
        """The graph, whose ends bear the original's names. Raises EngineError.

        ``model`` is the original with fixed shapes; ``reference`` opens it as the truth, to learn how axes lie.
        """
        if self._file is None or self._places is None:
            copy = self._folder / "model.onnx"
            ir.external_data.load_to_model(
                model
            )  # weights may lie in files beside the original, or be views of it
            ir.save(model, copy)
            self._file = convert_apart(self.engine, copy, self._folder, limits=self._limits)
            self._places = self._ask(self._file, source, reference)
        graph = self._read(self._file)
        tools = {**source.tools, self.engine.name: self.engine.version}
        return replace(source, tools=tools), _named(graph, self._places)

    def _ask(self, file: Path, source: Source, reference: Callable[[], Reference]) -> Places:
        try:
            return _places(file, source, reference)
        except EngineError as error:
            raise EngineError(f"{self.described}: {error}") from error

    def _read(self, file: Path) -> Graph:
        try:
            return read_tflite(file)[1]
        except ConversionError as error:
            said = str(error).removeprefix(f"{file}: ")
            raise EngineError(f"{self.described}: its file cannot be taken over: {said}") from error


def _places(file: Path, source: Source, open_reference: Callable[[], Reference]) -> Places:
    reference = open_reference()
    try:
        specs = [InputSpec(i.name, i.shape, i.dtype) for i in source.inputs]
        (feed, *_) = noise(specs).feeds()
        expected = reference.run(feed)
    finally:
        reference.close()
    try:
        backend = open_backend(file, "tflite", name="litert", threads=1)
        try:
            return find_places(backend, feed, expected)
        finally:
            backend.close()
    except EngineError:
        raise
    except EdgewiseError as error:
        raise EngineError(f"its file does not run in LiteRT: {error}") from error


def _named(graph: Graph, places: Places) -> LoweredGraph:
    """The graph with the original's names, in its order; axes that the card has no words for are turned back."""
    entries, exits = list(graph.inputs), list(graph.outputs)
    inputs = {name: _enter(graph, entries[place.index], name, place) for name, place in places.inputs.items()}
    outputs = {name: _leave(graph, exits[place.index], name, place) for name, place in places.outputs.items()}
    graph.inputs = [tensor for tensor, _ in inputs.values()]
    graph.outputs = [tensor for tensor, _ in outputs.values()]
    make_names_unique(graph)
    return LoweredGraph(
        graph,
        {name: layout for name, (_, layout) in inputs.items()},
        {name: layout for name, (_, layout) in outputs.items()},
    )


def _enter(graph: Graph, stored: Tensor, name: str, place: Place) -> tuple[Tensor, Layout]:
    """The input of that name, and how it lies."""
    if _has_words(place):
        stored.name = name
        return stored, place.layout
    entry = Tensor(name, place.shape, stored.dtype)
    graph.operators.insert(0, _moved(entry, stored, place.is_reshaped, place.layout))
    return entry, identity(len(place.shape))


def _leave(graph: Graph, stored: Tensor, name: str, place: Place) -> tuple[Tensor, Layout]:
    """The output of that name, and how it lies."""
    if _has_words(place):
        stored.name = name
        return stored, place.layout
    result = Tensor(name, place.shape, stored.dtype)
    back = tuple(int(axis) for axis in np.argsort(place.layout))
    graph.operators.append(_moved(stored, result, place.is_reshaped, back))
    return result, identity(len(place.shape))


def _has_words(place: Place) -> bool:
    """Whether the card can say how a tensor lies: as the original has it, or as NHWC."""
    return not place.is_reshaped and place.layout in (identity(len(place.shape)), CHANNELS_LAST)


def _moved(data: Tensor, result: Tensor, is_reshaped: bool, order: Layout) -> Operator:
    """RESHAPE, or TRANSPOSE by ``order``, of ``data`` to ``result``."""
    if is_reshaped:
        shape = Tensor.constant(f"{result.name}/shape", np.asarray(result.shape, np.int32))
        return Operator("RESHAPE", [data, shape], [result], {"newShape": result.shape})
    return Operator(
        "TRANSPOSE", [data, Tensor.constant(f"{result.name}/order", np.asarray(order, np.int32))], [result]
    )
