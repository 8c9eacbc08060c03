"""Emulated Raspberry Pis and the int8 models that run on them."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from arm.board_parts import CAT, RUNTIME_OF_BOARD, TARGET_OF_BOARD, WORKER, Answers, Work

import edgewise
from arm_userland import BOARDS, Userland, userland, why_not

NOISE_INPUTS = 2


@pytest.fixture(scope="session")
def board() -> Callable[[str], Userland]:
    """A board by name: pi2, pi3, pi4 or pi5, built on first use."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    return lambda name: userland(BOARDS[name])


@pytest.fixture(scope="session")
def work(
    tmp_path_factory: pytest.TempPathFactory,
    efficientnet_lite0: Path,
    imagenet_labels: Path,
    grocery_calibration: Path,
    cat_photo: Path,
    coffee_photo: Path,
) -> Work:
    """EfficientNet-Lite0 in int8 for 32 and 64 bit, converted here, with photos and noise as int8 inputs."""
    folder = tmp_path_factory.mktemp("arm")
    made = Work(folder, folder / "inputs.npy")
    common = ["--precision", "int8", "--no-rescue", "--preprocess", "mean=127;std=128"]
    common += [
        "--calibration",
        "minmax",
        "--samples",
        str(grocery_calibration),
        "--labels",
        str(imagenet_labels),
    ]
    edgewise_command = str(Path(sys.executable).with_name("edgewise"))
    for name in ("pi2", "pi4"):
        words = [
            edgewise_command,
            "convert",
            str(efficientnet_lite0),
            "--target",
            TARGET_OF_BOARD[name],
            *common,
        ]
        done = subprocess.run(
            [*words, "--out", str(made.model(name))], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    shutil.copyfile(cat_photo, folder / CAT)
    with edgewise.load(made.model("pi4")) as opened:
        reader = opened.image_reader()
        photos = [reader.read(photo)[0] for photo in (cat_photo, coffee_photo)]
    noise = np.random.default_rng(0).integers(-128, 128, (NOISE_INPUTS, *photos[0].shape), np.int8)
    np.save(made.inputs, np.stack([*photos, *noise]))
    return made


@pytest.fixture(scope="session")
def answers_here(work: Work) -> Callable[[str], Answers]:
    """What this machine answers with the model of a board, in the runtime of that board."""

    def answer(name: str) -> Answers:
        out = work.folder / f"here-{name}.npy"
        words = [sys.executable, WORKER, work.model(name), work.inputs, out, RUNTIME_OF_BOARD[name]]
        done = subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True)
        return Answers(np.load(out), json.loads(done.stdout))

    return answer


@pytest.fixture(scope="session")
def answers_on(board: Callable[[str], Userland], work: Work) -> Callable[[str], Answers]:
    """What a board answers, asked once."""
    asked: dict[str, Answers] = {}

    def answer(name: str) -> Answers:
        if name not in asked:
            out = work.folder / f"{name}.npy"
            words = ["python3", WORKER, work.model(name), work.inputs, out]
            done = board(name).run(*words, binds=[work.folder, WORKER.parent])
            assert done.returncode == 0, done.stderr
            asked[name] = Answers(np.load(out), json.loads(done.stdout))
        return asked[name]

    return answer
