"""What a test on the boards is about: its folder, and the answers of one machine."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

WORKER = Path(__file__).with_name("infer_worker.py")
CAT = "cat.png"


@dataclass(frozen=True)
class Answers:
    """What a machine answered to all inputs, and what it ran on."""

    outputs: npt.NDArray[np.int8]
    facts: dict[str, object]


@dataclass(frozen=True)
class Work:
    """A folder that the boards see under the same path, with the model and its inputs in it."""

    folder: Path
    model: Path
    inputs: Path
