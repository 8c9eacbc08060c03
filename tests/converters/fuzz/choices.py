"""Where a random graph takes its decisions: from hypothesis, which shrinks a failure, or from a seed, which is fast."""

import random
from collections.abc import Sequence
from typing import Protocol, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")


class Choices(Protocol):
    """Decisions, one after the other."""

    def number(self, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``, both included."""
        ...

    def pick(self, options: Sequence[T]) -> T:
        """One of ``options``."""
        ...

    def chance(self, percent: int) -> bool:
        """True in about ``percent`` of a hundred cases."""
        ...


class Seeded:
    """Decisions from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def number(self, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``, both included."""
        return self._random.randint(low, high)

    def pick(self, options: Sequence[T]) -> T:
        """One of ``options``."""
        return self._random.choice(options)

    def chance(self, percent: int) -> bool:
        """True in about ``percent`` of a hundred cases."""
        return self._random.random() * 100 < percent


class Drawn:
    """Decisions drawn by hypothesis; the first option of each kind is what a failure shrinks to."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def number(self, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``, both included."""
        return self._draw(st.integers(low, high))

    def pick(self, options: Sequence[T]) -> T:
        """One of ``options``."""
        return options[self._draw(st.integers(0, len(options) - 1))]

    def chance(self, percent: int) -> bool:
        """True in about ``percent`` of a hundred cases."""
        return self._draw(st.integers(0, 99)) >= 100 - percent
