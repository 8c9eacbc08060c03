"""The int8 file and the SDK on emulated Raspberry Pis: the same answers as here, whatever Python and runtime."""

import json
from collections.abc import Callable

import numpy as np
import pytest
from arm.board_parts import CAT, Answers, Work

from arm_userland import BOARDS, Userland, requirements

pytestmark = [pytest.mark.arm, pytest.mark.slow, pytest.mark.timeout(900)]

CAT_CLASSES = {"tiger cat", "Egyptian cat", "tabby"}

# tflite-runtime 2.14 has other int8 kernels on 32-bit ARM than on x86. They round halves differently now and
# then, and a step of one in the middle of the net may grow to a few at the end.
ARM32_LARGEST_STEP = 6

RUNS_ON = {
    "pi2": {"machine": "armv7l", "python": "3.11", "backend": "tflite-runtime"},
    "pi3": {"machine": "aarch64", "python": "3.11", "backend": "litert"},
    "pi4": {"machine": "aarch64", "python": "3.11", "backend": "litert"},
    "pi5": {"machine": "aarch64", "python": "3.13", "backend": "litert"},
}


def test_the_inputs_tell_answers_apart(answers_here: Callable[[str], Answers]) -> None:
    outputs = answers_here("litert").outputs
    assert outputs.dtype == np.int8
    assert len({row.tobytes() for row in outputs}) == len(outputs) == 4


@pytest.mark.parametrize("name", ["pi3", "pi4", "pi5"])
def test_int8_answers_are_bit_identical_to_those_on_x86(
    name: str, answers_on: Callable[[str], Answers], answers_here: Callable[[str], Answers]
) -> None:
    np.testing.assert_array_equal(answers_on(name).outputs, answers_here("litert").outputs)


def test_int8_answers_on_32_bit_arm_are_a_few_steps_from_those_on_x86(
    answers_on: Callable[[str], Answers], answers_here: Callable[[str], Answers]
) -> None:
    steps = np.abs(answers_on("pi2").outputs.astype(int) - answers_here("tflite-runtime").outputs)
    assert steps.max() <= ARM32_LARGEST_STEP


@pytest.mark.parametrize("name", BOARDS)
def test_the_sdk_picks_the_runtime_of_the_board(name: str, answers_on: Callable[[str], Answers]) -> None:
    facts = answers_on(name).facts
    assert {key: facts[key] for key in RUNS_ON[name]} == RUNS_ON[name]


@pytest.mark.parametrize("name", BOARDS)
def test_the_model_passes_its_own_golden_cases_on_the_board(
    name: str, answers_on: Callable[[str], Answers]
) -> None:
    assert answers_on(name).facts["passes_own_golden_cases"] is True


@pytest.mark.parametrize("name", ["pi2", "pi4", "pi5"])
def test_edgewise_run_sees_the_cat_on_the_board(
    name: str, board: Callable[[str], Userland], work: Work
) -> None:
    words = ["edgewise", "run", work.model, CAT, "--top", "3", "--json"]
    done = board(name).run(*words, binds=[work.folder], folder=work.folder)
    assert done.returncode == 0, done.stderr
    assert {category["label"] for category in json.loads(done.stdout)["categories"]} == CAT_CLASSES


def test_a_32_bit_board_gets_tflite_runtime_and_debians_numpy() -> None:
    names = {requirement.name for requirement in requirements(BOARDS["pi2"])}
    assert "tflite-runtime" in names
    assert not names & {"ai-edge-litert", "numpy", "pillow"}


@pytest.mark.parametrize("name", ["pi3", "pi4", "pi5"])
def test_a_64_bit_board_gets_litert(name: str) -> None:
    names = {requirement.name for requirement in requirements(BOARDS[name])}
    assert {"ai-edge-litert", "numpy", "pillow"} <= names
    assert "tflite-runtime" not in names
