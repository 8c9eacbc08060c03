"""Inputs with the outputs they must give, as one deterministic .npz that is read without trusting it."""

import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

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
                npy_format.write_array(stream, array, version=(1, 0), allow_pickle=False)  # type: ignore[no-untyped-call]  # the library has no types there
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


_HEADER = re.compile(
    rb"\{'descr': '([<|][biuf]\d)', 'fortran_order': False, 'shape': \(((?:\d{1,18}, ?)*(?:\d{1,18})?)\), \} *\n"
)
"""What numpy writes (numpy.lib.format, version 1.0); it is matched, where numpy itself would parse it as Python."""
_MAGIC = b"\x93NUMPY\x01\x00"
_SHORTEST = 10
"""Bytes: the magic string, the version, and the length of the header."""
_AXES_LIMIT = 32
"""numpy's own, before version 2."""


def _read_array(data: bytes, *, what: str) -> Array:
    """One .npy file; its header is believed only when the bytes it promises are there. Raises ModelFileError."""
    if not data.startswith(_MAGIC) or len(data) < _SHORTEST:
        raise ModelFileError(f"{what}: it begins with {data[:8]!r}, expected a .npy file of version 1.0")
    start = _SHORTEST + int.from_bytes(data[8:_SHORTEST], "little")
    header = _HEADER.fullmatch(data[_SHORTEST:start])
    if header is None:
        raise ModelFileError(
            f"{what}: got the header {data[_SHORTEST:start]!r:.80}, expected numbers in C order"
        )
    dtype = np.dtype(header[1].decode())
    shape = tuple(int(size) for size in header[2].replace(b" ", b"").split(b",") if size)
    size_bytes = math.prod(shape) * dtype.itemsize
    if size_bytes != len(data) - start or len(shape) > _AXES_LIMIT:
        raise ModelFileError(f"{what}: got {len(data) - start} bytes for {dtype} {shape}")
    try:
        return np.frombuffer(data, dtype, offset=start).reshape(shape)
    except ValueError as error:  # no bytes, and axes whose sizes have no product
        raise ModelFileError(f"{what}: {error}") from error
