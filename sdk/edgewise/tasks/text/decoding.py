"""From a recogniser's probabilities to characters: greedy CTC."""

from collections.abc import Sequence

import numpy as np

from edgewise.errors import CardError
from edgewise.tensors import FloatArray

_IS_PROBABILITIES = 1e-2
"""Rows of probabilities sum to 1 within what 8 bits for each of thousands of classes lose; logits do not."""


def alphabet_of(characters: Sequence[str], classes: int, where: str) -> tuple[str, ...]:
    """The character of each class; class 0 is CTC's blank, "".

    ``characters`` may leave out the blank, or the blank and the space that PP-OCR adds at the end. Raises CardError.
    """
    missing = classes - len(characters)
    if missing == 0:
        return ("", *characters[1:])
    if missing in (1, 2):
        return ("", *characters, *[" "] * (missing - 1))
    raise CardError(
        f"{where}: got {len(characters)} characters for {classes} classes, expected {classes - 2} (without blank and "
        f"space), {classes - 1} or {classes}; give TextReader characters=..."
    )


def probabilities_of(rows: FloatArray) -> FloatArray:
    """Rows [steps, classes] as they are when they are probabilities, else their softmax."""
    is_done = rows.min(initial=0) >= 0 and np.abs(rows.sum(axis=1) - 1).max(initial=0) < _IS_PROBABILITIES
    if is_done:
        return rows
    powers = np.exp(rows - rows.max(axis=1, keepdims=True))
    shares: FloatArray = powers / powers.sum(axis=1, keepdims=True)
    return shares


def greedy(rows: FloatArray, alphabet: Sequence[str]) -> tuple[str, FloatArray]:
    """The text and its characters' probabilities, of probabilities [steps, classes].

    The best class of each step, repetitions once, blanks none (Graves et al., "Connectionist temporal
    classification", ICML 2006, section 3.2).
    """
    best = rows.argmax(axis=1)
    is_new = np.diff(best, prepend=-1) != 0
    steps = np.flatnonzero(is_new & (best != 0))
    scores: FloatArray = rows[steps, best[steps]]
    return "".join(alphabet[index] for index in best[steps]), scores
