"""Which predictions are told one by one, so that rare classes are not drowned by frequent ones.

The law: of the c-th input of a class in a period a share of min(1, n / c) is kept, chosen by chance, with n =
``keep_per_class``. So a class with at most n inputs is kept whole, and one with c of them gives about
n (1 + ln(c / n)). What is kept carries its weight, c / n or 1: the sum of the weights of a class estimates its count
without bias (Horvitz and Thompson, "A generalization of sampling without replacement from a finite universe", JASA 47,
1952).
"""

import math
import random

from edgewise_agent.rules.settings import SamplingSettings

MAX_CLASSES = 1024
"""More in one period share one count: they are no longer rare apart."""
OTHERS = "(others)"


class Sampler:
    """Bounded: a number for each of at most 1,024 classes."""

    def __init__(self, settings: SamplingSettings, *, chance: random.Random | None = None) -> None:
        """``chance`` is for repeatable choices."""
        self._settings = settings
        self._chance = chance or random.Random()
        self._counts: dict[str, int] = {}
        self._ends_s = -math.inf
        self._room = float(settings.max_per_minute)
        self._filled_s: float | None = None
        self.left_out = 0
        """Chosen, and not told because of ``max_per_minute``: weights then count too few."""

    def weight(self, label: str, *, mono_s: float) -> float | None:
        """For how many inputs of its class this one stands, or None when it is not told."""
        if mono_s >= self._ends_s:
            self._counts.clear()
            self._ends_s = mono_s + self._settings.period_s
        key = label if label in self._counts or len(self._counts) < MAX_CLASSES else OTHERS
        seen = self._counts[key] = self._counts.get(key, 0) + 1
        weight = max(seen / self._settings.keep_per_class, 1.0)
        if self._chance.random() * weight >= 1.0:
            return None
        if not self._has_room(is_rare=weight == 1.0, mono_s=mono_s):
            self.left_out += 1
            return None
        return weight

    def _has_room(self, *, is_rare: bool, mono_s: float) -> bool:
        """A bucket that fills in a minute; its lower half is for the rare."""
        limit = float(self._settings.max_per_minute)
        elapsed_s = 0.0 if self._filled_s is None else max(mono_s - self._filled_s, 0.0)
        self._filled_s = mono_s
        self._room = min(self._room + elapsed_s * limit / 60, limit)
        if self._room < 1.0 or (not is_rare and self._room - 1.0 < limit / 2):
            return False
        self._room -= 1.0
        return True
