"""Inputs to measure a model with: its golden ones, else numbers drawn for its input tensors."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgewise.batch import read_tensors
from edgewise.errors import InvalidInput
from edgewise.model import Model
from edgewise.signature import in_order, to_dtype
from edgewise.tensors import Array, TensorSpec


@dataclass(frozen=True)
class SampleInputs:
    """One set of inputs by name, and in words where it is from."""

    arrays: dict[str, Array]
    origin: str


def sample_inputs(
    model: Model, shapes: Mapping[str, tuple[int, ...]] | None = None, arrays: Path | None = None
) -> SampleInputs:
    """The arrays of a .npy or .npz file; without one, the first golden case; without that, random numbers.

    They are random, and seeded, also where ``shapes`` say sizes. Floats are drawn from 0 to 1 and bytes from all
    there are; wider integers, which are often indices, are 0. Raises InvalidInput for a size that only the user
    can choose, and for a name, a shape or an array that does not fit.
    """
    shapes = shapes or {}
    if arrays is not None:
        return _given(model, arrays)
    names = [spec.name for spec in model.inputs]
    for name in shapes:
        if name not in names:
            raise InvalidInput(
                f"{model.path}: --shape: got input '{name}', expected one of {', '.join(names)}"
            )
    if not shapes:
        cases = model.file.golden()
        if cases:
            return SampleInputs(dict(cases[0].inputs), "its first golden case")
    rng = np.random.default_rng(0)
    drawn = {spec.name: _draw(rng, spec, _shape(model, spec, shapes.get(spec.name))) for spec in model.inputs}
    sizes = ", ".join(" x ".join(map(str, array.shape)) or "scalar" for array in drawn.values())
    return SampleInputs(drawn, f"random numbers, {sizes}")


def _given(model: Model, path: Path) -> SampleInputs:
    try:
        ordered = in_order(read_tensors(path), model.inputs)
    except InvalidInput as error:
        raise InvalidInput(str(error) if str(path) in str(error) else f"{path}: {error}") from error
    pairs = zip(ordered, model.inputs, strict=True)
    return SampleInputs(
        {spec.name: array if array.dtype == spec.dtype else to_dtype(array, spec) for array, spec in pairs},
        path.name,
    )


def _shape(model: Model, spec: TensorSpec, wanted: tuple[int, ...] | None) -> tuple[int, ...]:
    if wanted is not None:
        if not spec.accepts(wanted):
            raise InvalidInput(
                f"{model.path}: input '{spec.name}': got shape {wanted}, expected {spec.shape}"
            )
        return wanted
    # The first dimension is the batch: one picture is what a device runs.
    shape = tuple(1 if size < 0 and axis == 0 else size for axis, size in enumerate(spec.shape))
    if min(shape, default=1) < 0:
        example = "x".join("?" if size < 0 else str(size) for size in shape)
        raise InvalidInput(
            f"{model.path}: input '{spec.name}' has open sizes {spec.shape}: say them with "
            f"--shape {spec.name}={example}, a number for each ?"
        )
    return shape


def _draw(rng: np.random.Generator, spec: TensorSpec, shape: tuple[int, ...]) -> Array:
    dtype = np.dtype(spec.dtype)
    if dtype.kind == "f":
        return rng.random(shape, np.float32).astype(dtype)
    if dtype.itemsize == 1 and dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return rng.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)
    return np.zeros(shape, dtype)


def parse_shapes(texts: list[str]) -> dict[str, tuple[int, ...]]:
    """``name=1x3x320x320``, once for each input. Raises InvalidInput."""
    shapes = {}
    for text in texts:
        name, _, sizes = text.rpartition("=")
        parts = sizes.lower().split("x")
        if not name or not all(part.isdecimal() and int(part) > 0 for part in parts):
            raise InvalidInput(f"--shape: got '{text}', expected NAME=SIZES such as image=1x224x224x3")
        shapes[name] = tuple(map(int, parts))
    return shapes
