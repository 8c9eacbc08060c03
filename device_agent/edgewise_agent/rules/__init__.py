"""What is told of answers: expressions, windows, zones, lines, debounce and hysteresis.

Settings name rules in every agent; the library of expressions is loaded where there are some.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from edgewise_agent.rules.settings import RuleSettings, RulesSettings, SamplingSettings, WindowSettings

if TYPE_CHECKING:
    from edgewise_agent.rules.facts import Box, Facts, facts_of
    from edgewise_agent.rules.rule_set import Fired, RuleSet, RuleTrouble
    from edgewise_agent.rules.rule_state import Change
    from edgewise_agent.rules.sampling import Sampler
    from edgewise_agent.rules.vocabulary import KINDS

__all__ = [
    "KINDS", "Box", "Change", "Facts", "Fired", "RuleSet", "RuleSettings", "RuleTrouble", "RulesSettings", "Sampler",
    "SamplingSettings", "WindowSettings", "facts_of",
]  # fmt: skip
_HOMES = {"KINDS": "vocabulary", "Change": "rule_state", "Sampler": "sampling"} | dict.fromkeys(
    ("Box", "Facts", "facts_of"), "facts"
)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'rule_set')}"), name)
