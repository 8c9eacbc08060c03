"""What rules cost for each input, by how many boxes it has.

.venv/bin/python benchmarks/rules.py
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from device_agent.rule_parts import classification, people

from edgewise_agent.rules import RuleSet, RulesSettings

FIVE_RULES = {
    "rule": [
        {"name": "a", "when": 'count("person") >= 2 and score > 0.5'},
        {"name": "b", "when": 'label == "cat" and score > 0.8', "for_s": 3},
        {
            "name": "c", "when": "busy >= 3",
            "window": {"busy": {"of": "sum", "value": 'crossed("gate", "left")', "last_s": 60}},
        },
        {"name": "d", "when": 'in_zone("door", "person") > 0'},
        {"name": "e", "when": '[b for b in boxes if b.label == "person" and b.area > 0.02].length > 3'},
    ],
    "zones": {"door": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]},
    "lines": {"gate": [[0.5, 0], [0.5, 1]]},
}  # fmt: skip
ONE_RULE = {"rule": [{"name": "a", "when": 'label == "cat" and score > 0.5 and total >= 2'}]}


def mean_ms(settings: dict[str, Any], answers: Sequence[Any], *, rounds: int) -> float:
    """For one input."""
    rules = RuleSet(msgspec.convert(settings, RulesSettings))
    began_s = time.perf_counter()
    for place in range(rounds * len(answers)):
        rules.look(answers[place % len(answers)], mono_s=place * 0.1, ts_ms=0)
    return (time.perf_counter() - began_s) * 1000 / (rounds * len(answers))


def main() -> None:
    """Print the table."""
    answers = [classification(("cat", 0.4), ("dog", 0.1))]
    print(f"one rule, classification: {mean_ms(ONE_RULE, answers, rounds=3000):.3f} ms")
    for boxes in (1, 10, 50):
        moving = [
            people(*(((place * 37 + step) % 100, place * 53 % 100) for place in range(boxes)))
            for step in range(50)
        ]
        print(f"five rules, {boxes} boxes: {mean_ms(FIVE_RULES, moving, rounds=10):.3f} ms")


if __name__ == "__main__":
    main()
