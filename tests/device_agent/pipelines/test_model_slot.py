from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgewise
from edgewise.golden import GoldenCase
from edgewise.streams import Frame, SensorBlock
from edgewise.testing import tiny_card, tiny_golden, write_tiny_model
from edgewise_agent.errors import ModelUnfit
from edgewise_agent.pipelines.model_slot import ModelSlot
from edgewise_agent.pipelines.settings import PipelineSettings
from edgewise_agent.pipelines.source_words import SourceWord


def open_slot(model: Path, *, source: str = "/photos", **more: Any) -> ModelSlot:
    return ModelSlot(PipelineSettings(model=model, source=(SourceWord(source),), **more))


def label_of(slot: ModelSlot, picture: Path) -> str:
    ((answer, _),) = slot.answers(Frame(picture, 0, 0.0, "test"))
    return str(answer.top.label)


def test_it_answers_and_says_what_the_card_says(tiny_model: Path, photos: Path) -> None:
    slot = open_slot(tiny_model)
    ((answer, observation),) = slot.answers(Frame(photos / "b.png", 0, 0.0, "test"))
    assert answer.top.label == "green"
    assert 0 < answer.timings.invoke_ms <= answer.latency_ms
    assert observation is None
    assert slot.info().precision == "fp32"
    slot.close()


def test_an_exchange_gives_the_other_models_answers_and_a_failed_one_leaves_the_old(
    tiny_model: Path, photos: Path, tmp_path: Path
) -> None:
    other = write_tiny_model(
        tmp_path / "other.tflite", card=replace(tiny_card(), labels=("x", "y", "z"), name="other")
    )
    slot = open_slot(tiny_model)
    assert label_of(slot, photos / "a.png") == "red"
    slot.exchange(other)
    assert (label_of(slot, photos / "a.png"), slot.info().name) == ("x", "other")
    (tmp_path / "bad.tflite").write_bytes(b"TFL3" * 10)
    with pytest.raises(edgewise.ModelFileError):
        slot.exchange(tmp_path / "bad.tflite")
    assert label_of(slot, photos / "b.png") == "y"
    slot.close()


def test_a_foreign_file_is_asked_as_the_settings_say(photos: Path, tmp_path: Path) -> None:
    card = replace(tiny_card(), task="tensors", golden=None, labels=())
    path = write_tiny_model(tmp_path / "foreign.tflite", card=card, golden=())
    (tmp_path / "labels.txt").write_text("rot\ngruen\nblau\n")
    slot = open_slot(path, task="image-classification", labels=tmp_path / "labels.txt")
    assert label_of(slot, photos / "c.png") == "blau"
    slot.close()
    with pytest.raises(ModelUnfit, match=r"labels .*none\.txt: No such file"):
        open_slot(path, labels=tmp_path / "none.txt")


def test_measurements_are_run_as_they_are_where_no_task_is_said(tmp_path: Path) -> None:
    card = replace(tiny_card(), task="tensors", golden=None)
    slot = open_slot(write_tiny_model(tmp_path / "t.tflite", card=card, golden=()), source="push:0")
    size = int(np.prod(slot.model.inputs[0].shape))
    rows = np.zeros((size // 3, 3), np.float32)
    ((outputs, observation),) = slot.answers(SensorBlock(rows, 50.0, 0, 0.0, "push:0"))
    assert set(outputs) == {slot.model.outputs[0].name} and observation is None
    slot.close()


def test_a_model_that_fails_its_own_golden_cases_is_refused(tmp_path: Path) -> None:
    card = tiny_card()
    wrong = [
        GoldenCase(case.inputs, {name: np.flip(values).copy() for name, values in case.outputs.items()})
        for case in tiny_golden(card)
    ]
    path = write_tiny_model(tmp_path / "liar.tflite", card=card, golden=wrong)
    with pytest.raises(ModelUnfit, match=r"liar\.tflite: it does not give its promised answers"):
        open_slot(path)


def test_a_model_that_does_not_know_its_pictures_is_refused_at_once(tmp_path: Path) -> None:
    path = write_tiny_model(
        tmp_path / "mute.tflite", card=replace(tiny_card(), task="tensors", golden=None), golden=()
    )
    with pytest.raises(ModelUnfit, match=r"mute\.tflite: it cannot be asked about pictures .* --preprocess"):
        open_slot(path)


def test_a_missing_model_and_a_broken_picture_are_the_sdks_errors(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(edgewise.ModelFileError):
        open_slot(tmp_path / "none.tflite")
    slot = open_slot(tiny_model)
    with pytest.raises(edgewise.UnreadableImage):
        label_of(slot, tmp_path / "none.png")
    slot.close()
