"""What a test on the boards is about: its folder, and the answers of one machine."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

WORKER = Path(__file__).with_name("infer_worker.py")
COUNT_WORKER = Path(__file__).with_name("count_worker.py")
CAT = "cat.png"

# One file serves all 64-bit boards. 32-bit ARM has another runtime, and the converter checks the file in that.
TARGET_OF_BOARD = {"pi2": "armv7", "pi3": "rpi4", "pi4": "rpi4", "pi5": "rpi4"}
RUNTIME_OF_BOARD = {"pi2": "tflite-runtime", "pi3": "litert", "pi4": "litert", "pi5": "litert"}


@dataclass(frozen=True)
class Answers:
    """What a machine answered to all inputs, and what it ran on."""

    outputs: npt.NDArray[np.float32]
    facts: dict[str, object]


@dataclass(frozen=True)
class Work:
    """A folder that the boards see under the same path, with the models and their inputs in it."""

    folder: Path
    inputs: Path

    def model(self, board: str) -> Path:
        """The int8 file for a board."""
        return self.folder / f"lite0-{TARGET_OF_BOARD[board]}.tflite"
