"""From scores to categories."""

import numpy as np
import pytest

from edgewise.errors import CardError
from edgewise.tasks.classification import ScoreReader, softmax
from edgewise.tensors import Quantization, TensorSpec

SCORES = TensorSpec("scores", (1, 4), "float32")


def test_equal_scores_come_in_the_order_of_their_index() -> None:
    best = ScoreReader(SCORES).read(np.array([[1, 2, 2, 0]], np.float32), 3)
    assert [(category.index, category.score) for category in best] == [(1, 2.0), (2, 2.0), (0, 1.0)]
    assert str(best[0]) == "#1 2.000"


def test_softmax_survives_large_logits() -> None:
    assert softmax(np.array([1000.0, 1000.0], np.float32)).tolist() == [0.5, 0.5]


def test_logits_become_probabilities_and_probabilities_stay() -> None:
    logits = np.log(np.array([[0.1, 0.2, 0.3, 0.4]], np.float32))
    assert ScoreReader(SCORES, activation="logits").read(logits, 1)[0].score == pytest.approx(0.4)
    given = np.array([[0.1, 0.2, 0.3, 0.4]], np.float32)
    assert ScoreReader(SCORES, activation="probabilities").read(given, 1)[0].score == pytest.approx(0.4)


def test_quantized_scores_are_dequantized() -> None:
    spec = TensorSpec("scores", (1, 2), "uint8", quantization=Quantization((1 / 256,), (0,)))
    best = ScoreReader(spec, labels=("a", "b")).read(np.array([[64, 192]], np.uint8), 1)
    assert (best[0].label, best[0].score) == ("b", 0.75)


def test_labels_must_be_as_many_as_scores() -> None:
    with pytest.raises(CardError, match="got 3 labels for 4 scores"):
        ScoreReader(SCORES, labels=("a", "b", "c"))
