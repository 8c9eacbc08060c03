"""A measured latency in the model file, and who is held to it."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from sdk.test_tools_cli import EDGEWISE

import edgewise
from edgewise.device import read_device
from edgewise.errors import CardError
from edgewise.latency_promise import place_of, promise_on
from edgewise.model_card import LatencyPromise, ModelCard
from edgewise.testing import tiny_card

PROMISE = LatencyPromise("Raspberry Pi 4 Model B Rev 1.4", 10.0, 12.0, 100, 4, "litert")


def bench(*words: object) -> subprocess.CompletedProcess[str]:
    command = [EDGEWISE, "bench", *map(str, words), "--runs", "20", "--seconds", "5"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    from PIL import Image

    Image.new("RGB", (32, 32), "red").save(tmp_path / "red.png")
    return tmp_path / "red.png"


@pytest.mark.parametrize("which", ["tiny", "tiny_onnx"])
def test_what_was_measured_is_in_the_file_and_the_file_is_otherwise_as_before(
    which: str, picture: Path, request: pytest.FixtureRequest
) -> None:
    path: Path = request.getfixturevalue(which)
    before = edgewise.read_model(path)
    done = bench(path, "--image", picture, "--promise")
    assert done.returncode == 0, done.stderr
    after = edgewise.read_model(path)
    assert before.card and after.card and after.card.latency
    (promise,) = after.card.latency
    assert promise.board == place_of(read_device()) and 0 < promise.p50_ms <= promise.p95_ms
    assert f"promised on {promise.board}: p50 {promise.p50_ms:g} ms" in done.stderr
    assert replace(after.card, latency=None) == before.card
    with edgewise.load(path) as model:
        assert model.self_test().passed
        assert model.predict(picture).top.label == "red"
    again = bench(path, "--image", picture, "--promise")
    assert again.returncode == 0
    card = edgewise.read_model(path).card
    assert card and card.latency and len(card.latency) == 1, "a new promise takes the old one's place"


def test_a_promise_without_a_picture_is_refused_before_anything_is_measured(tiny: Path) -> None:
    done = bench(tiny, "--promise")
    assert done.returncode == 1
    assert done.stderr.startswith("error: promise: expected --image PICTURE")


def test_only_the_same_board_is_held_to_a_promise() -> None:
    here = read_device()
    mine = replace(PROMISE, board=place_of(here), p95_ms=20.0)
    card = replace(tiny_card(), latency=(PROMISE, mine))
    assert promise_on(card) == mine
    assert promise_on(replace(card, latency=(PROMISE,))) is None
    assert promise_on(replace(card, latency=(PROMISE,)), replace(here, board=PROMISE.board)) == PROMISE
    assert promise_on(tiny_card()) is promise_on(None) is None


def test_a_card_with_promises_survives_its_json_and_one_without_has_no_key() -> None:
    card = replace(tiny_card(), latency=(PROMISE,))
    assert ModelCard.from_json(card.to_json()) == card
    assert "latency" not in tiny_card().to_json()


@pytest.mark.parametrize("change", [{"p50_ms": 0.0}, {"p95_ms": 9.0}, {"runs": 0}])
def test_a_promise_that_makes_no_sense_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(CardError, match="latency: got p50"):
        replace(PROMISE, **change)
