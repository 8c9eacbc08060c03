"""What moves elements moves those of every type, in both runtimes."""

import numpy as np
import pytest
from converters.onnx_cases import case, check

TYPES = (np.bool_, np.int8, np.uint8, np.int16, np.int32, np.int64)
SHAPE = (1, 4, 4, 6)


def ints(*values: int) -> np.ndarray:  # type: ignore[type-arg]  # a shape of no interest
    return np.array(values, np.int64)


RIM = ints(0, 0, 1, 1, 0, 0, 1, 1)
BODIES: dict[str, tuple[str, dict[str, object]]] = {
    "Concat": ("y = Concat<axis=1>(x, x)", {}),
    "Split": ("y, y2 = Split<axis=1>(x, s)", {"s": ints(2, 2)}),
    "Split unevenly": ("y, y2 = Split<axis=1>(x, s)", {"s": ints(1, 3)}),
    "Slice": ("y = Slice(x, s, e, s)", {"s": ints(1), "e": ints(3)}),
    "Slice backwards": ("y = Slice(x, s, e, a, s)", {"s": ints(-1), "e": ints(-99), "a": ints(2)}),
    "Pad": ("y = Pad(x, p)", {"p": RIM}),
    "Pad reflecting": ('y = Pad<mode="reflect">(x, p)', {"p": RIM}),
    "Pad the edge": ('y = Pad<mode="edge">(x, p)', {"p": RIM}),
    "Tile": ("y = Tile(x, r)", {"r": ints(1, 2, 1, 1)}),
    "Expand": ("y = Expand(x, r)", {"r": ints(2, 4, 4, 6)}),
    "Transpose": ("y = Transpose<perm=[0,2,3,1]>(x)", {}),
    "Flatten": ("y = Flatten(x)", {}),
    "Gather": ("y = Gather<axis=1>(x, i)", {"i": ints(3, 0, 1)}),
    "GatherElements": ("y = GatherElements<axis=1>(x, i)", {"i": np.zeros((1, 1, 4, 6), np.int64)}),
    "Compress": ("y = Compress<axis=1>(x, c)", {"c": np.array([1, 0, 1, 0], np.bool_)}),
    "ReverseSequence": ("y = ReverseSequence<batch_axis=0,time_axis=1>(x, n)", {"n": ints(3)}),
}
CASES = [
    (name, dtype) for name in BODIES for dtype in TYPES if not (name.startswith("Pad") and dtype is np.int16)
]
"""All but what onnxruntime cannot do either."""


def data(dtype: type) -> np.ndarray:  # type: ignore[type-arg]  # a shape of no interest
    numbers = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    return (numbers % 3 == 0) if dtype is np.bool_ else (numbers - 40).astype(dtype)


@pytest.mark.parametrize(("name", "dtype"), CASES, ids=lambda value: getattr(value, "__name__", value))
def test_every_type_is_moved(name: str, dtype: type) -> None:
    body, values = BODIES[name]
    check(case(body, x=data(dtype), **values))
