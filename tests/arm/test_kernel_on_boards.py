"""The code in C, compiled on the board: the very bytes of x86."""

import json
from collections.abc import Callable
from pathlib import Path

import jpeg_writer
import kernel_answers
import pytest
from kernel_answers import JPEG_ANSWERS, KERNEL_ANSWERS

from arm_userland import Userland

pytestmark = [pytest.mark.arm, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.parametrize("name", ["pi2", "pi3", "pi4", "pi5"])
def test_every_board_makes_the_bytes_of_x86(name: str, board: Callable[[str], Userland]) -> None:
    worker = Path(kernel_answers.__file__)
    done = board(name).run("python3", worker, binds=[worker, Path(jpeg_writer.__file__)])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"reason_missing": "", "answers": KERNEL_ANSWERS | JPEG_ANSWERS}


def test_the_answers_tell_ways_apart() -> None:
    answers = KERNEL_ANSWERS | JPEG_ANSWERS
    assert len(set(answers.values())) == len(answers)
