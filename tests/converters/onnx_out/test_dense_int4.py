"""4-bit dense layers: what the kernel reads is what was rounded, and nothing rewritten is an error."""

import numpy as np
import pytest
from converters.onnx_cases import case
from converters.onnx_out.parts import MLP, agreement, answers, kernels, observed, prepared, samples_of

from edgewise_converters.errors import ConversionError
from edgewise_converters.onnx_out.dense_int4 import BLOCK, quantize_int4

INT4_DB = 14.0
"""Three layers of four bits with seeded weights."""
KERNEL = 0.02
"""The kernel rounds its inputs to int8, a part of the largest answer."""


def test_the_kernel_reads_what_was_rounded() -> None:
    """Weights on the grid already come through unchanged; 50 inputs do not fill the last block."""
    rng = np.random.default_rng(0)
    grid = rng.integers(-7, 8, (50, 12))
    grid[::16] = 7  # every block has its largest
    this = case("y = MatMul(x, w)", x=(3, 50), w=(grid * 0.125).astype(np.float32))
    model = prepared(this)
    found = quantize_int4(model, {})
    assert (found.rewritten, found.weights) == (1, 600)
    feeds = samples_of(this, 2)
    for want, got in zip(answers(model, feeds), answers(found.model, feeds), strict=True):
        assert np.abs(want["y"] - got["y"]).max() <= KERNEL * np.abs(want["y"]).max()


def test_dense_layers_of_every_kind_are_rewritten() -> None:
    found = quantize_int4(prepared(MLP), {})
    assert found.rewritten == 3
    assert kernels(found.model)["MatMulNBits"] == 3
    assert agreement(prepared(MLP), found.model, samples_of(MLP)).worst_db >= INT4_DB


def test_joint_rounding_comes_nearer() -> None:
    model = prepared(MLP)
    rng = np.random.default_rng(1)
    mixing = rng.standard_normal((12, 96)).astype(np.float32)
    feeds = [{"x": rng.standard_normal((1, 6, 12)).astype(np.float32) @ mixing + 1} for _ in range(48)]
    moments = observed(model, set(), feeds).moments
    plain, joint = (quantize_int4(model, known).model for known in ({}, moments))
    assert agreement(model, joint, feeds).worst_db > agreement(model, plain, feeds).worst_db + 2


def test_a_model_without_dense_layers_is_refused() -> None:
    this = case("y = Conv(x, w)", x=(1, 3, 8, 8), w=(4, 3, 3, 3))
    with pytest.raises(ConversionError, match=f"no dense layer .* of {BLOCK} inputs"):
        quantize_int4(prepared(this), {})
