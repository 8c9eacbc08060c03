"""How a rule's verdict is gathered: what was looked at, and the first thing that was wrong."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """Of one rule."""

    PASS = "pass"
    FAIL = "fail"
    NOT_SEEN = "not seen"


@dataclass(frozen=True)
class Verdict:
    """One rule on one trace."""

    rule: str
    outcome: Outcome
    detail: str


Findings = Iterator[str | None]
"""For each thing that the rule speaks of: None when it is right, else what is wrong with it."""


def judge(rule: str, findings: Findings) -> Verdict:
    """Fails at the first wrong thing; nothing to look at is `not seen`, never a pass."""
    looked_at = 0
    for wrong in findings:
        looked_at += 1
        if wrong is not None:
            return Verdict(rule, Outcome.FAIL, wrong)
    if not looked_at:
        return Verdict(rule, Outcome.NOT_SEEN, "nothing to judge it by")
    return Verdict(rule, Outcome.PASS, f"{looked_at} looked at")


def unless(right: bool, wrong: str) -> str | None:
    """A finding."""
    return None if right else wrong
