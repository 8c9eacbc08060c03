"""Rules looked at with the settings, before any model is open, and again with its labels."""

from edgewise_agent.errors import Problem
from edgewise_agent.rules.settings import RulesSettings


def rule_problems(
    settings: RulesSettings, *, where: str, kind: str = "", labels: tuple[str, ...] = ()
) -> list[Problem]:
    """What is wrong with the rules of one section; ``kind`` of answers and the model's labels where they are known."""
    if not settings.rule and not settings.lines:
        return []
    from edgewise_agent.rules.compiling import (
        Surroundings,
        compile_rules,
    )  # the library is loaded where it is used

    _, problems = compile_rules(Surroundings(settings, kind, labels))
    return [Problem(f"{where}.{problem.where}", problem.message) for problem in problems]
