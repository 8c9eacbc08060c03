"""P-values by drawing again and again, for laws that can be drawn from and not written down."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

SUCCESSES = 10
_FIRST_DRAWS = 64


def sequential_chance(
    as_large: Callable[[int], npt.NDArray[np.bool_]], *, most: int, at_once: int
) -> tuple[float, bool]:
    """A p-value by draws, and whether any draw was as large as what was seen.

    ``as_large`` draws so many times and says which were. It is drawn until ten were: p is ten by how many that took
    (Besag and Clifford 1991, "Sequential Monte Carlo p-values", Biometrika 78:301). After ``most`` draws chances are
    told apart no further. ``at_once`` bounds the memory.
    """
    done = found = 0
    while done < most:
        size = min(max(done, _FIRST_DRAWS), at_once, most - done)
        hits = np.flatnonzero(as_large(size))
        if found + len(hits) >= SUCCESSES:
            return SUCCESSES / (done + int(hits[SUCCESSES - found - 1]) + 1), True
        found, done = found + len(hits), done + size
    return (found + 1) / (done + 1), found > 0
