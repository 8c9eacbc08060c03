"""Which tensor of one model is which of another."""

import numpy as np
import pytest

from edgewise.tensors import Quantization, TensorSpec
from edgewise_converters.errors import SourceError
from edgewise_converters.matching import by_layout, concrete_shapes, match_tensors, orders


def spec(name: str, *shape: int, dtype: str = "float32", quantized: bool = False) -> TensorSpec:
    quantization = Quantization((0.5,), (0,)) if quantized else None
    return TensorSpec(name, shape, dtype, quantization=quantization)


def test_names_win_over_order() -> None:
    pairs = match_tensors("output", [spec("a", 1, 4), spec("b", 1, 4)], [spec("b", 1, 4), spec("a", 1, 4)])
    assert [(pair.first.name, pair.second.name) for pair in pairs] == [("a", "a"), ("b", "b")]


def test_without_names_the_order_and_the_shape_decide() -> None:
    first = [spec("a", 1, 3, 8, 6), spec("b", 1, 5), spec("c", 1, 5)]
    second = [spec("p", 1, 5), spec("q", 1, 8, 6, 3), spec("r", 1, 5)]
    pairs = match_tensors("output", first, second)
    assert [(pair.second.name, pair.described) for pair in pairs] == [
        ("q", "NCHW to NHWC"),
        ("p", ""),
        ("r", ""),
    ]


def test_the_name_in_the_source_counts() -> None:
    pairs = match_tensors(
        "output",
        [spec("a", 1, 4), spec("b", 1, 4)],
        [spec("p", 1, 4), spec("q", 1, 4)],
        source_names={"p": "b"},
    )
    assert [pair.second.name for pair in pairs] == ["q", "p"]


def test_shapes_that_differ_in_ones_are_reshaped() -> None:
    (pair,) = match_tensors("output", [spec("a", 1, 1, 1, 7)], [spec("b", 1, 7)])
    assert pair.described == "reshaped"
    assert pair.to_first(np.arange(7).reshape(1, 7), (1, 1, 1, 7)).shape == (1, 1, 1, 7)


def test_real_numbers_never_meet_plain_integers() -> None:
    with pytest.raises(
        SourceError, match=r"the inputs do not match: the first model has 'x' float32 \[1,4\]"
    ):
        match_tensors("input", [spec("x", 1, 4)], [spec("x", 1, 4, dtype="int64")])
    assert match_tensors("input", [spec("x", 1, 4)], [spec("x", 1, 4, dtype="int8", quantized=True)])


def test_every_order_that_fits_is_known() -> None:
    assert orders((1, 3, 8, 8), (1, 8, 8, 3)) == [(0, 2, 3, 1)]
    assert orders((1, 8, 8, 8), (1, 8, 8, 8)) == [(0, 1, 2, 3), (0, 2, 3, 1), (0, 3, 1, 2)]
    assert orders((1, 3, 8), (1, 4, 4)) == []
    assert orders((-1, 3, 8, 8), (1, -1, 8, 3))[0] == (0, 2, 3, 1)


def test_known_layouts_settle_what_shapes_leave_open() -> None:
    (pair,) = match_tensors("input", [spec("x", 1, 3, 3, 3)], [spec("x", 1, 3, 3, 3)])
    assert pair.described == ""
    assert by_layout(pair, "nchw", "nhwc").described == "NCHW to NHWC"


def test_open_dimensions_come_from_the_other_model_or_the_user() -> None:
    (pair,) = match_tensors("input", [spec("x", -1, 3, -1, -1)], [spec("x", 1, 32, 24, 3)])
    assert concrete_shapes(pair, None) == ((1, 3, 32, 24), (1, 32, 24, 3))
    (both,) = match_tensors("input", [spec("x", -1, 3, -1, -1)], [spec("x", -1, -1, -1, 3)])
    assert concrete_shapes(both, (2, 3, 8, 4)) == ((2, 3, 8, 4), (2, 8, 4, 3))
    with pytest.raises(SourceError, match=r"--shape x=1,3,\.\.\.,\.\.\."):
        concrete_shapes(both, None)
    with pytest.raises(SourceError, match=r"--shape x: got \[1, 4, 8, 8\], the model has \[\?,3,\?,\?\]"):
        concrete_shapes(both, (1, 4, 8, 8))
