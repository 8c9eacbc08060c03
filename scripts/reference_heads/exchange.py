"""How a case reaches a reference's own process and its answer comes back: one .npz each way, and JSON inside.

Workers in other environments import this file, so it needs NumPy alone.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from reference_heads.raw_outputs import Case

Answer = dict[str, np.ndarray]
"""boxes [n, 4], scores [n], classes [n], points [n, k, 2], point_scores [n, k], as far as the head gives them."""


def facts_of(case: Case) -> dict[str, Any]:
    """All but the arrays, for JSON."""
    return {
        "key": case.key,
        "head": case.head,
        "outputs": list(case.raw),
        "input_wh": case.input_wh,
        "pictures_wh": case.pictures_wh,
        "score": case.score,
        "overlap": case.overlap,
        "classes": case.classes,
        "keypoints": case.keypoints,
        "is_class_agnostic": case.is_class_agnostic,
    }


def save_cases(path: Path, cases: list[Case]) -> None:
    """Write cases for a worker."""
    facts = np.array(json.dumps([facts_of(case) for case in cases]))
    arrays = {f"{case.key}/{name}": array for case in cases for name, array in case.raw.items()}
    np.savez(path, **{"facts": facts, **arrays})


def answer_name(key: str, picture_wh: tuple[int, int], part: str) -> str:
    """What an answer's array is called in a file."""
    return f"{key}@{picture_wh[0]}x{picture_wh[1]}/{part}"


def serve(decode: Callable[[dict[str, Any], dict[str, np.ndarray], tuple[int, int]], Answer]) -> None:
    """A worker's whole life: CASES.npz ANSWERS.npz; ``decode`` gets facts, raw outputs and a picture's size."""
    answers = {}
    with np.load(sys.argv[1]) as file:
        for facts in json.loads(str(file["facts"])):
            raw = {name: file[f"{facts['key']}/{name}"] for name in facts["outputs"]}
            for width, height in facts["pictures_wh"]:
                copies = {name: array.copy() for name, array in raw.items()}
                for part, array in decode(facts, copies, (width, height)).items():
                    answers[answer_name(facts["key"], (width, height), part)] = np.asarray(array)
    np.savez(sys.argv[2], **answers)
