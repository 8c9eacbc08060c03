"""The resize in C, compiled on the board: the very bytes of x86."""

import json
from collections.abc import Callable
from pathlib import Path

import kernel_answers
import pytest
from kernel_answers import KERNEL_ANSWERS

from arm_userland import Userland

pytestmark = [pytest.mark.arm, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.parametrize("name", ["pi2", "pi3", "pi4", "pi5"])
def test_every_board_makes_the_bytes_of_x86(name: str, board: Callable[[str], Userland]) -> None:
    worker = Path(kernel_answers.__file__)
    done = board(name).run("python3", worker, binds=[worker])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"reason_missing": "", "answers": KERNEL_ANSWERS}


def test_the_answers_tell_ways_apart() -> None:
    assert len(set(KERNEL_ANSWERS.values())) == len(KERNEL_ANSWERS)
