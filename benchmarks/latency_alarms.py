#!/usr/bin/env python3
"""How often the agent says that latency rose when it did not, and how soon when it did. [--reports 1000000]

Steady series of several shapes, then series whose level is multiplied. In reports, of which there is one every ten
seconds by default. The last two shapes are not independent, which the bound assumes: one wanders, one is a mixture that
stays for a while in each of two levels 1.3 apart.
"""

import argparse
import random
from collections.abc import Callable, Iterator
from statistics import median

from edgewise_agent.diagnosis.level import FALSE_ALARM, LevelWatch, Turn

Make = Callable[[random.Random], Iterator[float]]


def lognormal(sigma: float) -> Make:
    def values(chance: random.Random) -> Iterator[float]:
        while True:
            yield 30 * chance.lognormvariate(0, sigma)

    return values


def spikes(chance: random.Random) -> Iterator[float]:
    while True:
        yield 30 * chance.lognormvariate(0, 0.1) * (5 if chance.random() < 0.05 else 1)


def pareto(chance: random.Random) -> Iterator[float]:
    while True:
        yield 30 * chance.paretovariate(1.5)


def wandering(chance: random.Random) -> Iterator[float]:
    level = 0.0
    while True:
        level = 0.95 * level + chance.gauss(0, 0.03)
        yield 30 * 2.718281828**level


def two_levels(chance: random.Random) -> Iterator[float]:
    high = False
    while True:
        high ^= chance.random() < 0.02
        yield 30 * (1.3 if high else 1.0) * chance.lognormvariate(0, 0.1)


SHAPES: dict[str, Make] = {
    "lognormal, sigma 0.1": lognormal(0.1),
    "lognormal, sigma 0.5": lognormal(0.5),
    "5 % spikes of 5 times": spikes,
    "Pareto, shape 1.5": pareto,
    "wandering (AR 0.95)": wandering,
    "two levels, 1.3 apart": two_levels,
}


def alarms(make: Make, reports: int) -> int:
    watch, values = LevelWatch(), make(random.Random(1))
    turns = (watch.see(next(values), at_s=float(number)) for number in range(reports))
    return sum(level is not None and level.turn is Turn.ROSE for level in turns)


def delay(make: Make, ratio: float, seed: int, most: int = 200) -> int:
    watch, values = LevelWatch(), make(random.Random(seed))
    for number in range(100):
        watch.see(next(values), at_s=float(number))
    for number in range(1, most + 1):
        level = watch.see(ratio * next(values), at_s=100.0 + number)
        if level is not None and level.turn is Turn.ROSE:
            return number
    return most + 1


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--reports", type=int, default=1_000_000)
    chosen = parser.parse_args()
    print(f"bound for independent reports: {FALSE_ALARM * 1e5:g} in 100,000\n")
    print("| shape | alarms | in 100,000 | twice as slow: median delay | 95 % | seen within 200 |")
    print("|---|---|---|---|---|---|")
    for name, make in SHAPES.items():
        found = alarms(make, chosen.reports)
        delays = sorted(delay(make, 2.0, seed) for seed in range(200))
        seen = sum(one <= 200 for one in delays) / len(delays)
        print(
            f"| {name} | {found} of {chosen.reports:,} | {found / chosen.reports * 1e5:.2f} | "
            f"{median(delays):.0f} | {delays[190]} | {seen:.0%} |"
        )


if __name__ == "__main__":
    main()
