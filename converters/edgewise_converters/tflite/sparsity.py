"""Sparse constants made dense.

The format is that of SparsityParameters in tensorflow/lite/schema/schema.fbs: dimensions are walked in
traversal_order, block dimensions last; a dense one is counted through, a compressed one (CSR) lists in
array_indices what lies between two array_segments.
"""

from typing import Any

import numpy as np

from edgewise.tensors import Array
from edgewise_converters.errors import SourceError
from edgewise_converters.tflite.schema import schema

_UINT16_KIND, _UINT8_KIND = schema.SparseIndexVector.Uint16Vector, schema.SparseIndexVector.Uint8Vector


def densified(stored: Any, values: Array, shape: tuple[int, ...]) -> Array:
    """The dense array of ``shape`` of a sparse tensor's ``values`` [n]. Raises SourceError if they do not fit."""
    order = [int(axis) for axis in stored.TraversalOrderAsNumpy()]
    blocks = [int(axis) for axis in stored.BlockMapAsNumpy()] if stored.BlockMapLength() else []
    rank = len(shape)
    levels = [stored.DimMetadata(i) for i in range(stored.DimMetadataLength())]
    if len(levels) != len(order) or sorted(order) != list(range(rank + len(blocks))):
        raise SourceError(
            f"a sparse tensor {shape} is described by {len(levels)} dimensions in order {order}"
        )
    rows = _coordinates(levels, int(np.prod(shape, dtype=np.int64)))
    if len(rows) != len(values):
        raise SourceError(f"a sparse tensor describes {len(rows)} values and has {len(values)}")
    sizes = {axis: level.DenseSize() for axis, level in zip(order, levels, strict=True)}
    walked = dict(zip(order, rows.T, strict=True))
    index = [walked[axis] for axis in range(rank)]
    for block, axis in enumerate(blocks):
        index[axis] = index[axis] * sizes[rank + block] + walked[rank + block]
    dense = np.zeros(shape, values.dtype)
    try:
        dense[tuple(index)] = values
    except IndexError as error:
        raise SourceError(f"a sparse tensor {shape} has values outside of it") from error
    return dense


def _coordinates(levels: list[Any], most: int) -> Array:
    """Where each value lies, one column a level, int64 [n, levels]; there cannot be more than ``most``."""
    rows = np.zeros((1, 0), np.int64)
    positions = np.zeros(1, np.int64)
    for level in levels:
        if level.Format() == schema.DimensionType.DENSE:
            size = level.DenseSize()
            if not 0 <= len(rows) * size <= most:
                raise SourceError(f"a sparse tensor has {len(rows) * size} places of {most}")
            steps = np.tile(np.arange(size), len(rows))
            parents = np.repeat(np.arange(len(rows)), size)
            positions = np.repeat(positions * size, size) + steps
        else:
            parents, positions, steps = _compressed(level, positions, most)
        rows = np.column_stack([rows[parents], steps])
    return rows


def _compressed(level: Any, positions: Array, most: int) -> tuple[Array, Array, Array]:
    """Of a CSR level: which position each entry belongs to, its own position, and its index."""
    segments, indices = _vector(level, "Segments"), _vector(level, "Indices")
    if len(segments) <= positions.max(initial=0) + 1:
        raise SourceError("a sparse tensor has too few segments")
    lengths = segments[positions + 1] - segments[positions]
    if (lengths < 0).any() or lengths.sum() > min(len(indices), most):
        raise SourceError("a sparse tensor's segments do not fit its values")
    parents = np.repeat(np.arange(len(positions)), lengths)
    starts = np.repeat(segments[positions] - np.cumsum(lengths) + lengths, lengths)
    places = starts + np.arange(len(parents))
    if places.max(initial=0) >= len(indices):
        raise SourceError("a sparse tensor's segments lie outside of its indices")
    return parents, places, indices[places]


def _vector(level: Any, name: str) -> Array:
    """A level's array_segments or array_indices, int64."""
    kind, table = getattr(level, f"Array{name}Type")(), getattr(level, f"Array{name}")()
    if table is None:
        raise SourceError(f"a sparse tensor lacks its {name.lower()}")
    names = {_UINT8_KIND: "Uint8Vector", _UINT16_KIND: "Uint16Vector"}
    reader = getattr(schema, names.get(kind, "Int32Vector"))()
    reader.Init(table.Bytes, table.Pos)
    return np.asarray(reader.ValuesAsNumpy(), np.int64).reshape(-1)
