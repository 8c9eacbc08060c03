"""Ranges, scales and zero points."""

import numpy as np
import pytest

from edgewise.tensors import Array
from edgewise_converters.quantize.calibrate import Statistics
from edgewise_converters.quantize.ranges import (
    CHOOSERS,
    QMAX,
    QMIN,
    least_square_error,
    min_max,
    percentile,
    quantization_of,
)

RNG = np.random.default_rng(3)
TENSORS: dict[str, Array] = {
    "normal": RNG.standard_normal(20_000),
    "long tails": RNG.standard_t(2, 20_000),
    "behind a relu": np.maximum(RNG.standard_normal(20_000), 0),
    "one outlier": np.append(RNG.standard_normal(20_000), 90.0),
    "one outlier below": np.append(np.abs(RNG.standard_normal(20_000)), -40.0),
    "far from zero": RNG.standard_normal(20_000) + 50,
    "all zero": np.zeros(100),
    "one number": np.full(100, -3.5),
    "tiny": RNG.standard_normal(1_000) * 1e-9,
    "few": np.array([0.5, -0.25]),
}


def statistics(values: Array) -> Statistics:
    return Statistics(float(values.min()), float(values.max()), values.astype(np.float32), np.zeros(1))


def squared_error(values: Array, low: float, high: float) -> float:
    quantization = quantization_of(low, high)
    real = values.astype(np.float32)
    return float(
        np.square(quantization.dequantize(quantization.quantize(real)) - real, dtype=np.float64).sum()
    )


@pytest.mark.parametrize("name", TENSORS)
def test_least_squares_is_never_worse_than_min_and_max(name: str) -> None:
    values = TENSORS[name]
    allowed = squared_error(values, *min_max(statistics(values)))
    assert squared_error(values, *least_square_error(statistics(values))) <= allowed * (1 + 1e-6)


def test_least_squares_cuts_what_costs_more_to_keep() -> None:
    values = TENSORS["normal"]
    wide = squared_error(values, *min_max(statistics(values)))
    assert squared_error(values, *least_square_error(statistics(values))) < 0.99 * wide


def test_percentile_leaves_out_the_rarest() -> None:
    _, high = percentile(statistics(TENSORS["one outlier"]))
    assert high < 10


@pytest.mark.parametrize("method", CHOOSERS)
@pytest.mark.parametrize("name", TENSORS)
def test_every_range_has_a_positive_scale_and_holds_zero_exactly(name: str, method: str) -> None:
    quantization = quantization_of(*CHOOSERS[method](statistics(TENSORS[name])))
    assert quantization.scale > 0
    assert QMIN <= quantization.zero_point <= QMAX
    assert quantization.dequantize(quantization.quantize(np.zeros(1, np.float32)))[0] == 0
