"""What is told of answers: expressions, windows, zones, lines, debounce and hysteresis."""

from edgewise_agent.rules.compiling import KINDS
from edgewise_agent.rules.facts import Box, Facts, facts_of
from edgewise_agent.rules.rule_set import Fired, RuleSet, RuleTrouble
from edgewise_agent.rules.rule_state import Change
from edgewise_agent.rules.sampling import Sampler
from edgewise_agent.rules.settings import RuleSettings, RulesSettings, SamplingSettings, WindowSettings

__all__ = [
    "KINDS", "Box", "Change", "Facts", "Fired", "RuleSet", "RuleSettings", "RuleTrouble", "RulesSettings", "Sampler",
    "SamplingSettings", "WindowSettings", "facts_of",
]  # fmt: skip
