"""Inputs with the outputs they must give, as one deterministic .npz that is read without trusting it."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib import format as npy_format

from edgewise.archive import pack, unpack
from edgewise.errors import CardError, ModelFileError
from edgewise.model_card import ModelCard, TensorCard
from edgewise.tensors import Array

LIMIT_BYTES = 256 * 1024 * 1024
"""More than any sensible proof; keeps a zip bomb from filling a device's memory."""


@dataclass(frozen=True)
class GoldenCase:
    """One input of the model and the outputs it must give, by the names in the card.

    Arrays are as the model's runtime takes and gives them: quantized tensors hold their integers. Of a large output
    every n-th value may be kept, flattened (the card's `Golden.output_steps`).
    """

    inputs: dict[str, Array]
    outputs: dict[str, Array]


def kept(output: Array, step: int) -> Array:
    """What is kept of an output: the whole, or every ``step``-th value of it, flattened."""
    return output if step == 1 else output.reshape(-1)[::step]


def encode(cases: Sequence[GoldenCase], card: ModelCard) -> bytes:
    """The .npz file: arrays named case, direction and position, since tensor names may hold any character.

    Raises CardError when the cases are not those that the card speaks of.
    """
    expected = card.golden.cases if card.golden else 0
    if len(cases) != expected:
        raise CardError(f"golden cases: got {len(cases)}, and the card says {expected}")
    files = {}
    for index, case in enumerate(cases):
        for direction, arrays, tensors in _directions(case, card):
            if set(arrays) != {tensor.name for tensor in tensors}:
                raise CardError(
                    f"golden case {index}, {direction}s: got {sorted(arrays)}, "
                    f"expected {sorted(tensor.name for tensor in tensors)}"
                )
            for position, tensor in enumerate(tensors):
                stream = io.BytesIO()
                array = np.asarray(
                    arrays[tensor.name], order="C"
                )  # ascontiguousarray would give a scalar an axis
                npy_format.write_array(stream, array, version=(1, 0), allow_pickle=False)  # type: ignore[no-untyped-call]
                files[_member(index, direction, position)] = stream.getvalue()
    return pack(files, compress=True)


def decode(data: bytes, card: ModelCard, *, what: str) -> tuple[GoldenCase, ...]:
    """The cases that `encode` wrote. Raises ModelFileError when they are damaged or too large."""
    files = unpack(io.BytesIO(data), None, limit_bytes=LIMIT_BYTES, what=what)
    count = card.golden.cases if card.golden else 0

    def read(index: int, direction: str, tensors: tuple[TensorCard, ...]) -> dict[str, Array]:
        arrays = {}
        for position, tensor in enumerate(tensors):
            member = _member(index, direction, position)
            if member not in files:
                raise ModelFileError(f"{what}: '{member}' is missing")
            arrays[tensor.name] = _read_array(files[member], what=f"{what}, {member}")
        return arrays

    return tuple(
        GoldenCase(read(index, "input", card.inputs), read(index, "output", card.outputs))
        for index in range(count)
    )


def _directions(
    case: GoldenCase, card: ModelCard
) -> list[tuple[str, dict[str, Array], tuple[TensorCard, ...]]]:
    return [("input", case.inputs, card.inputs), ("output", case.outputs, card.outputs)]


def _member(index: int, direction: str, position: int) -> str:
    return f"case{index:03d}_{direction}{position}.npy"


def _read_array(data: bytes, *, what: str) -> Array:
    """One .npy file; its header is believed only when the bytes it promises are there."""
    stream = io.BytesIO(data)
    try:
        version = npy_format.read_magic(stream)  # type: ignore[no-untyped-call]
        if version != (1, 0):
            raise ModelFileError(f"{what}: got .npy version {version}, expected (1, 0)")
        header = npy_format.read_array_header_1_0(stream)  # type: ignore[no-untyped-call]
    except ValueError as error:
        raise ModelFileError(f"{what}: {error}") from error
    return _checked_array(data[stream.tell() :], header, what)


def _checked_array(body: bytes, header: tuple[tuple[int, ...], bool, np.dtype[Any]], what: str) -> Array:
    shape, fortran_order, dtype = header
    count = math.prod(int(size) for size in shape)
    if dtype.kind not in "biuf" or fortran_order or count < 0 or count * dtype.itemsize != len(body):
        raise ModelFileError(f"{what}: got {len(body)} bytes for {dtype} {shape}")
    return np.frombuffer(body, dtype).reshape(shape)
