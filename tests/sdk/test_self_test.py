"""How agreement is measured."""

import numpy as np
import pytest

from edgewise.self_test import agreement_db, describe_db
from edgewise.tensors import Quantization


def test_agreement_is_signal_over_noise_in_decibel() -> None:
    kept = np.array([3.0, 4.0], np.float32)
    assert agreement_db(kept, kept + np.array([0.03, 0.04], np.float32)) == pytest.approx(40, abs=0.01)


def test_extremes() -> None:
    kept = np.array([1.0, 2.0], np.float32)
    assert agreement_db(kept, kept) == 200
    assert agreement_db(kept, kept[:1]) == -200
    assert agreement_db(kept, np.array([1.0, np.nan], np.float32)) == -200
    assert agreement_db(np.zeros(2), np.ones(2)) == -200
    assert describe_db(200) == "identical"
    assert describe_db(41.26) == "41.3 dB"


def test_quantized_answers_are_compared_as_real_numbers() -> None:
    quantization = Quantization((0.5,), (-128,))
    kept, got = np.array([-126], np.int8), np.array([-127], np.int8)
    assert agreement_db(kept, got, quantization) == pytest.approx(6.02, abs=0.01)
