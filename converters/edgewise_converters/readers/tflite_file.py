"""A float TFLite file to a graph whose every tensor has a static shape. The file is only ever read."""

import mmap
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgewise import tflite_check
from edgewise.errors import CardError, EdgewiseError
from edgewise.model_file import ModelFile, read_model
from edgewise.tasks.image_input import stated_preprocess
from edgewise.tensors import TensorSpec
from edgewise_converters.errors import SourceError
from edgewise_converters.readers import fused_lstm
from edgewise_converters.readers.open_shapes import Dim, Shape, fix_shapes
from edgewise_converters.readers.source import TFLITE, Inherited, Source, SourceInput, digest_of
from edgewise_converters.reference import unique_names
from edgewise_converters.samples import image_layout
from edgewise_converters.tflite import passes
from edgewise_converters.tflite.graph import Graph
from edgewise_converters.tflite.reader import read_graph
from edgewise_converters.tflite.schema import schema
from edgewise_converters.tflite.trial import try_file


def read_tflite(path: Path, *, shapes: Mapping[str, Shape] | None = None) -> tuple[Source, Graph]:
    """Read ``path`` and fix its input shapes, by ``shapes`` or, for an open leading dimension, to batch 1.

    Raises SourceError for what is no whole TFLite file, cannot run in LiteRT, is quantized already, or keeps state,
    and UnsupportedOperator for operators that are not converted.
    """
    digest = digest_of(path)
    carried = _carried(path)
    data = _map(path)
    try:
        model: Any = schema.Model.GetRootAs(data, 0)
        wanted, notices = _input_shapes(path, model, shapes or {})
        if model.SubgraphsLength() > 1:
            said = f"{path.name} has {model.SubgraphsLength()} subgraphs: the first is converted"
            notices = (*notices, said)
        graph = _read_graph(path, data, try_file(path, wanted))
        _name_ends(graph)
        signature = _signature(model, graph)
    except EdgewiseError:
        raise
    except Exception as error:  # flatbuffers, struct and numpy raise many kinds for broken bytes
        raise SourceError(f"{path}: damaged: {type(error).__name__} while it was read") from error
    passes.fold_constants.apply(graph)
    notices += fused_lstm.apply(graph)
    passes.canonicalize(graph)
    _check_float(path, graph)
    inputs = tuple(SourceInput(t.name, t.shape, t.dtype) for t in graph.inputs)
    inherited = replace(_inherited(carried, graph), signature=signature)
    return Source(path, digest, 0, inputs, notices, format=TFLITE, inherited=inherited), graph


def _read_graph(path: Path, data: memoryview, shapes: Mapping[int, Shape]) -> Graph:
    try:
        return read_graph(data, shapes)
    except SourceError as error:
        raise SourceError(f"{path}: {error}") from error


def _carried(path: Path) -> ModelFile:
    """The file's card and metadata; its structure is checked on the way."""
    try:
        return read_model(path)
    except EdgewiseError as error:
        raise SourceError(str(error)) from error


def _map(path: Path) -> memoryview:
    """The file's bytes, read as they are touched."""
    with path.open("rb") as stream:
        data = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    try:
        tflite_check.check_structure(data)
    except EdgewiseError as error:
        raise SourceError(f"{path}: {error}") from error
    return data


def _input_shapes(
    path: Path, model: Any, hints: Mapping[str, Shape]
) -> tuple[dict[int, Shape], tuple[str, ...]]:
    """By index of tensor, the shapes of inputs that are not the file's own; and what to say of them."""
    subgraph = model.Subgraphs(0)
    indices = [int(index) for index in np.atleast_1d(subgraph.InputsAsNumpy())]
    names = unique_names([(subgraph.Tensors(i).Name() or b"").decode("utf-8", "replace") for i in indices])
    declared = {name: _declared(subgraph.Tensors(i)) for name, i in zip(names, indices, strict=True)}
    fixed, notices = fix_shapes(path.name, declared, hints)
    changed = {i: fixed[n] for n, i in zip(names, indices, strict=True) if list(fixed[n]) != declared[n]}
    return changed, notices


def _declared(tensor: Any) -> list[Dim]:
    if not tensor.ShapeLength():
        return []
    signature = tensor.ShapeSignatureAsNumpy() if tensor.ShapeSignatureLength() else tensor.ShapeAsNumpy()
    return [int(dim) if dim >= 0 else None for dim in np.atleast_1d(signature)]


def _signature(model: Any, graph: Graph) -> dict[str, str]:
    """By name of input and output, what the first signature of the file calls it, if there is one."""
    if not model.SignatureDefsLength() or model.SignatureDefs(0).SubgraphIndex():
        return {}
    signature, subgraph = model.SignatureDefs(0), model.Subgraphs(0)
    entries = [signature.Inputs(i) for i in range(signature.InputsLength())]
    exits = [signature.Outputs(i) for i in range(signature.OutputsLength())]
    names: dict[str, str] = {}
    for maps, numbers, tensors in (
        (entries, subgraph.InputsAsNumpy(), graph.inputs),
        (exits, subgraph.OutputsAsNumpy(), graph.outputs),
    ):
        called = {each.TensorIndex(): (each.Name() or b"").decode("utf-8", "replace") for each in maps}
        for number, tensor in zip(numbers, tensors, strict=True):
            if called.get(int(number)):
                names[tensor.name] = called[int(number)]
    return names


def _name_ends(graph: Graph) -> None:
    """Inputs and outputs get names of their own, as the reference gives them."""
    for ends in (graph.inputs, graph.outputs):
        for tensor, name in zip(ends, unique_names([t.name for t in ends]), strict=True):
            tensor.name = name
    ids = [id(tensor) for tensor in (*graph.inputs, *graph.outputs)]
    constant = [tensor.name for tensor in graph.outputs if tensor.is_constant]
    if len(set(ids)) != len(ids) or constant:
        raise SourceError(
            "an output of the model is a constant, an input, or another output; expected each computed once"
        )


def _check_float(path: Path, graph: Graph) -> None:
    """Raise SourceError for what somebody quantized before."""
    way_out = "expected a float model: convert the float model that it was made from"
    produced = {id(tensor) for operator in graph.operators for tensor in operator.outputs}
    for tensor in [*graph.inputs, *(t for t in graph.tensors() if id(t) in produced)]:
        if tensor.dtype == np.float16:
            raise SourceError(f"{path}: tensor '{tensor.name}' is computed in float16, expected float32")
        if tensor.quantization is not None and tensor.dtype.kind in "iu" and tensor.dtype.itemsize < 4:
            raise SourceError(f"{path}: quantized already: '{tensor.name}' is {tensor.dtype}; {way_out}")
    for operator in graph.operators:
        for weights in operator.inputs:
            if (
                weights is not None
                and weights.is_constant
                and weights.quantization
                and weights.dtype.itemsize == 1
            ):
                raise SourceError(
                    f"{path}: quantized already: the weights of {operator.kind} '{operator.output.name}' are "
                    f"{weights.dtype}; {way_out}"
                )


def _inherited(file: ModelFile, graph: Graph) -> Inherited:
    """Labels, pictures and task that the file says of itself."""
    task = file.card.task if file.card else ""
    if len(graph.inputs) != 1:
        return Inherited(file.labels, {}, task=task)
    entry = graph.inputs[0]
    spec = TensorSpec(entry.name, entry.shape, entry.dtype.name, image_layout(entry.shape))
    try:
        image = stated_preprocess(file, spec)
    except CardError:
        image = None
    return Inherited(file.labels, {} if image is None else {entry.name: image}, task=task)
