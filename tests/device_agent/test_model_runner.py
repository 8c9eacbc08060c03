from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import edgewise
from edgewise.golden import GoldenCase
from edgewise.testing import tiny_card, tiny_golden, write_tiny_model
from edgewise_agent.errors import ModelUnfit
from edgewise_agent.model_runner import ModelRunner, Prediction


def test_it_predicts_and_says_what_the_card_says(tiny_model: Path, photos: Path) -> None:
    runner = ModelRunner(tiny_model)
    prediction = runner.predict(photos / "b.png")
    assert prediction.label == "green"
    assert prediction.invoke_ms is not None
    assert 0 < prediction.invoke_ms <= prediction.latency_ms
    assert runner.info().precision == "fp32"
    runner.close()


def test_a_model_that_fails_its_own_golden_cases_is_refused(tmp_path: Path) -> None:
    card = tiny_card()
    wrong = [
        GoldenCase(case.inputs, {name: np.flip(values).copy() for name, values in case.outputs.items()})
        for case in tiny_golden(card)
    ]
    path = write_tiny_model(tmp_path / "liar.tflite", card=card, golden=wrong)
    with pytest.raises(ModelUnfit, match=r"liar\.tflite: it does not give its promised answers"):
        ModelRunner(path)


def test_a_model_that_does_not_know_its_pictures_is_refused_at_once(tmp_path: Path) -> None:
    path = write_tiny_model(
        tmp_path / "mute.tflite", card=replace(tiny_card(), task="tensors", golden=None), golden=()
    )
    with pytest.raises(ModelUnfit, match=r"mute\.tflite: it cannot be asked about pictures .* --preprocess"):
        ModelRunner(path)


def test_a_model_of_a_task_that_the_agent_does_not_report_is_refused_at_once(tmp_path: Path) -> None:
    card = replace(tiny_card(), task="image-embedding", golden=None)
    path = write_tiny_model(tmp_path / "other.tflite", card=card, golden=())
    with pytest.raises(ModelUnfit, match=r"other\.tflite: its task is 'image-embedding'; the agent reports"):
        ModelRunner(path)


def test_a_missing_model_and_a_broken_picture_are_the_sdks_errors(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(edgewise.ModelFileError):
        ModelRunner(tmp_path / "none.tflite")
    runner = ModelRunner(tiny_model)
    with pytest.raises(edgewise.UnreadableImage):
        runner.predict(tmp_path / "none.png")
    runner.close()


def test_a_raw_score_is_no_confidence() -> None:
    assert Prediction("x", 17.5, 1.0).confidence is None
    assert Prediction("x", 0.5, 1.0).confidence == 0.5
