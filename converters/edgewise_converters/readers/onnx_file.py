"""An ONNX file to an onnx-ir model whose every input has a static shape. The file is only ever read."""

import difflib
import logging
import math
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx_ir as ir
from onnx import serialization

from edgewise.tensors import Array
from edgewise_converters.errors import SourceError
from edgewise_converters.readers.half_precision import computes_in_half, widen
from edgewise_converters.readers.onnx_skeleton import read_skeleton
from edgewise_converters.readers.open_shapes import Declared, Shape, fix_shapes, show
from edgewise_converters.readers.source import ONNX, Inherited, Source, SourceInput, digest_of, format_of

logging.getLogger("onnx_ir").addHandler(logging.NullHandler())
"""Else it prints warnings and tracebacks of what it then goes on without (shape inference of an invalid model)."""
_MOST_BYTES = (1 << 31) - 1
"""Of one tensor: TFLite's kernels count its bytes in int32 here and there."""
_MIN_OPSET, _MAX_OPSET = 7, 28
_WIDENED = (
    "the model computes in half precision: the file computes in float32, and its inputs and outputs are float32; "
    "--precision fp16 stores weights in float16"
)


def static_shape(value: ir.Value) -> tuple[int, ...]:
    """The shape of a value as integers. Raises SourceError if it is unknown or symbolic."""
    if value.shape is None or not all(isinstance(dim, int) for dim in value.shape):
        raise SourceError(
            f"value '{value.name}': its shape is {value.shape}, expected one known before running"
        )
    return tuple(int(dim) for dim in value.shape)  # type: ignore[arg-type]  # every dim is a number here


def read_onnx(
    path: Path,
    *,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    values: Mapping[str, float] | None = None,
) -> tuple[Source, ir.Model]:
    """Read ``path`` and fix its input shapes, by ``shapes`` or, for an open leading dimension, to batch 1.

    ``shapes`` are by name of input, or of a dimension (one number). Inputs with a number in ``values`` become
    constants. Raises SourceError for anything that is not an ONNX model, and for an open dimension without a hint.
    """
    found = format_of(path)
    if found != ONNX:
        raise SourceError(f"{path}: this is a {found} model, expected an ONNX model")
    digest = digest_of(path)
    model = _parse(path)
    opset = _check_opset(path, model)
    initialized = set(model.graph.initializers)
    for value in [value for value in model.graph.inputs if value.name in initialized]:
        model.graph.inputs.remove(value)  # before IR version 4 every initializer was an input too
    fixed = {name: _fix_value(path, model, name, number) for name, number in (values or {}).items()}
    notices = _fix_shapes(path, model, shapes or {})
    halves = computes_in_half(model)
    if halves:
        widen(model)
        notices = (*notices, _WIDENED)
    inputs = tuple(_describe(value) for value in model.graph.inputs)
    characters = model.metadata_props.get("character", "")  # as PP-OCR's exporters write it, one a line
    inherited = Inherited(characters=tuple(characters.split("\n")) if characters else ())
    return Source(
        path, digest, opset, inputs, notices, fixed, computes_in_half=halves, inherited=inherited
    ), model


def _fix_value(path: Path, model: ir.Model, name: str, number: float) -> Array:
    """Make an input of one element a constant."""
    value = _input_named(path, model, "--value", name)
    dims = [] if value.shape is None else [dim if isinstance(dim, int) else 1 for dim in value.shape]
    if any(dim != 1 for dim in dims):
        raise SourceError(
            f"--value {name}: the input has shape {show(dims)}, expected one of a single number"
        )
    dtype = np.dtype(np.float32) if value.dtype is None else np.dtype(value.dtype.numpy())
    if not _holds(dtype, number):
        raise SourceError(
            f"--value {name}: got {number:g}, expected a number that the input, {dtype}, can hold"
        )
    array = np.full(dims, number, dtype)
    model.graph.inputs.remove(value)
    value.shape, value.const_value = ir.Shape(dims), ir.tensor(array, name=name)
    model.graph.register_initializer(value)
    return array


def _holds(dtype: np.dtype[np.generic], number: float) -> bool:
    if dtype.kind == "b":
        return number in (0, 1)
    if dtype.kind not in "iu":
        return dtype.kind == "f"
    limits = np.iinfo(dtype)  # type: ignore[type-var]  # numpy's stub knows no dtype by name
    return number.is_integer() and limits.min <= number <= limits.max


def _input_named(path: Path, model: ir.Model, option: str, name: str) -> ir.Value:
    found = {str(value.name): value for value in model.graph.inputs}
    if name not in found:
        near = difflib.get_close_matches(name, list(found), 1)
        raise SourceError(
            f"{option} {name}: {path.name} has no such input; its inputs are {', '.join(found)}"
            + (f" (did you mean {near[0]}?)" if near else "")
        )
    return found[name]


def _describe(value: ir.Value) -> SourceInput:
    dtype = np.dtype(np.float32) if value.dtype is None else np.dtype(value.dtype.numpy())
    shape = static_shape(value)
    size_bytes = math.prod(shape) * dtype.itemsize
    if size_bytes > _MOST_BYTES:
        raise SourceError(
            f"input '{value.name}': its shape {show(shape)} takes {size_bytes / 1e9:.3g} GB, "
            "expected less than the 2 GB that a tensor may have"
        )
    return SourceInput(str(value.name), shape, dtype)


def _parse(path: Path) -> ir.Model:
    try:
        model = _load(path)
    except Exception as error:  # protobuf and onnx-ir raise many kinds for broken bytes
        raise SourceError(
            f"{path}: cannot be read as an ONNX model ({type(error).__name__}); "
            "it is damaged, truncated or of another kind"
        ) from error
    if not model.graph.outputs or not (model.graph.num_nodes() or model.graph.initializers):
        raise SourceError(f"{path}: holds no ONNX graph; it is truncated or of another kind")
    _check_external_data(path, model)
    return model


def _load(path: Path) -> ir.Model:
    """The model with its large weights mapped: they are read from the file when something needs them."""
    if serialization.registry.get_format_from_file_extension(path.suffix) not in (None, "protobuf"):
        return ir.load(path)  # ONNX's text formats
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what it ignores in a damaged file
        model: ir.Model = ir.from_proto(read_skeleton(path))
    ir.external_data.set_base_dir(model.graph, path.parent)
    return model


def _check_external_data(path: Path, model: ir.Model) -> None:
    """Weights may lie in files beside the model: say so before something needs them."""
    for value in model.graph.initializers.values():
        tensor = value.const_value
        if not isinstance(tensor, ir.ExternalTensor):
            continue
        beside = Path(tensor.path)
        needed = (tensor.offset or 0) + tensor.nbytes
        size = beside.stat().st_size if beside.is_file() else -1
        if size < needed:
            found = "is missing" if size < 0 else f"has {size} bytes, expected at least {needed}"
            raise SourceError(f"{path}: its weights lie in {beside.name} beside it, which {found}")


def _check_opset(path: Path, model: ir.Model) -> int:
    imports = model.graph.opset_imports
    if "ai.onnx" in imports:  # the default domain under its long name
        imports[""] = imports.pop("ai.onnx")
    opset = imports.get("", 1)
    if not _MIN_OPSET <= opset <= _MAX_OPSET:
        raise SourceError(
            f"{path}: opset {opset}, expected {_MIN_OPSET} to {_MAX_OPSET}; export the model again with such an opset"
        )
    return opset


def _fix_shapes(path: Path, model: ir.Model, hints: Mapping[str, Shape]) -> tuple[str, ...]:
    declared = {str(value.name): _declared(value) for value in model.graph.inputs}
    shapes, notices = fix_shapes(path.name, declared, hints)
    for value in model.graph.inputs:
        value.shape = ir.Shape(shapes[str(value.name)])
    if notices:
        _forget_inner_shapes(model)
    return notices


def _declared(value: ir.Value) -> Declared:
    """The shape as the file says it: numbers, and names of open dimensions."""
    if value.shape is None:
        return None
    return [max(dim, 0) if isinstance(dim, int) else _name_of(dim) for dim in value.shape]


def _name_of(dim: ir.SymbolicDim) -> str | None:
    """The name of an open dimension; some exporters call every one of them "?", which is none."""
    return dim.value if dim.value is not None and any(map(str.isalnum, dim.value)) else None


def _forget_inner_shapes(model: ir.Model) -> None:
    """Shapes that the exporter wrote for open dimensions would contradict the fixed ones."""
    for node in model.graph.all_nodes():
        for output in node.outputs:
            output.shape = None
