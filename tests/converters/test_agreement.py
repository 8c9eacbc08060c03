"""What counts as agreement."""

import numpy as np
import pytest

from edgewise.tensors import Array
from edgewise_converters.agreement import IDENTICAL_DB, Agreement, Meter

NAN, INF = float("nan"), float("inf")


def measured(want: object, got: object, *, classifies: bool = False) -> Agreement:
    meter = Meter(classifies=classifies)
    meter.add({"y": as_array(want)}, {"y": as_array(got)})
    return meter.result()


def as_array(values: object) -> Array:
    return np.array(values, np.float32)


@pytest.mark.parametrize("values", [[1, 2, 3], [0, 0, 0], [INF, 1, -INF], [NAN, 1], []], ids=str)
def test_the_same_is_identical(values: list[float]) -> None:
    assert measured(values, values).worst_db == IDENTICAL_DB


@pytest.mark.parametrize(
    ("want", "got"),
    [
        ([1, 2], [1, NAN]), ([1, NAN], [1, 2]), ([NAN, 1], [1, NAN]), ([1, INF], [1, -INF]), ([1, 2], [1, INF]),
        ([INF, 1], [2, 1]), ([0, 0], [0, 1e-6]),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_number_or_no_signal_is_wrong(want: list[float], got: list[float]) -> None:
    assert measured(want, got).worst_db == -IDENTICAL_DB


def test_decibels_and_cosine_are_as_defined() -> None:
    result = measured([3, 4], [3.3, 4.4]).worst
    assert result.snr_db == pytest.approx(20, abs=1e-3)
    assert result.cosine == pytest.approx(1)
    assert result.max_error == pytest.approx(0.4, rel=1e-5)
    assert measured([1, 0], [0, 1]).worst.cosine == 0


def test_cases_add_up_and_the_worst_output_is_named() -> None:
    meter = Meter()
    for error in (0.0, 0.1):
        meter.add({"a": as_array([1]), "b": as_array([1])}, {"a": as_array([1]), "b": as_array([1 + error])})
    result = meter.result()
    assert result.cases == 2
    assert result.worst.name == "b"
    assert result.worst_db == pytest.approx(10 * np.log10(2 / 0.01), abs=1e-3)


def test_first_answers_are_counted_for_classifiers_only() -> None:
    assert measured([[1, 5, 2]], [[1, 4, 2]], classifies=True).top1 == 1
    assert measured([[1, 5, 2]], [[9, 4, 2]], classifies=True).top1 == 0
    assert measured([[1, 5, 2]], [[9, 4, 2]]).top1 is None
