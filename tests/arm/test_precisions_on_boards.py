"""Files of every precision pass their golden cases on emulated Raspberry Pis, which have kernels of their own."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from converters.small_nets import write_net

from arm_userland import Userland
from edgewise_converters.pipeline import convert
from edgewise_converters.request import Request

pytestmark = [pytest.mark.arm, pytest.mark.slow, pytest.mark.timeout(900)]

WORKER = Path(__file__).with_name("self_test_worker.py")
NETS = ("convolutions", "transformer")
PRECISIONS = ("fp32", "fp16", "weights8", "dynamic", "int16x8", "int4")
TARGET_OF_BOARD = {"pi2": "armv7", "pi4": "rpi4", "pi5": "rpi5"}
FLOAT32_DB = 90.0
"""Above it nothing but float32's own rounding differs."""


@pytest.fixture(scope="module")
def tested(
    board: Callable[[str], Userland], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], dict[str, Any]]:
    """By board, the self tests of all files for it, by the name of net and precision."""
    folder = tmp_path_factory.mktemp("precisions")
    nets = [write_net(name, folder) for name in NETS]

    @functools.cache
    def on(name: str) -> dict[str, Any]:
        files = []
        for net in nets:
            for precision in PRECISIONS:
                if (name, precision) == ("pi2", "int4"):
                    continue
                out = folder / f"{net.name}-{precision}-{name}.tflite"
                target = TARGET_OF_BOARD[name]
                convert(
                    Request(source=net.file, target=target, precision=precision, samples=net.samples, out=out)
                )
                files.append(out)
        done = board(name).run("python3", WORKER, *files, binds=[folder, WORKER.parent], folder=folder)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout.splitlines()[-1]))

    return on


@pytest.mark.parametrize("name", TARGET_OF_BOARD)
def test_every_precision_repeats_its_answers(name: str, tested: Callable[[str], dict[str, Any]]) -> None:
    failed = {file: found["worst_db"] for file, found in tested(name).items() if not found["passed"]}
    assert tested(name) and not failed


def test_only_a_cortex_a76_computes_fp16_files_in_float16(tested: Callable[[str], dict[str, Any]]) -> None:
    assert tested("pi4")["transformer-fp16-pi4"]["worst_db"] >= FLOAT32_DB
    assert tested("pi5")["transformer-fp16-pi5"]["worst_db"] < FLOAT32_DB
    assert tested("pi5")["transformer-fp32-pi5"]["worst_db"] >= FLOAT32_DB
