"""Alerts: rules judged over the fleet, kept, and notified."""

from edgewise_fleet.alerts.book import AlertBook, KeptAlert
from edgewise_fleet.alerts.channels import make_channels
from edgewise_fleet.alerts.engine import Alert, Engine, Heard, Observed, Target
from edgewise_fleet.alerts.rules import RuleFile, builtin_rules, load_rules, parse_rules
from edgewise_fleet.alerts.silences import Silence
from edgewise_fleet.alerts.watch import AlertWatch

__all__ = [
    "Alert",
    "AlertBook",
    "AlertWatch",
    "Engine",
    "Heard",
    "KeptAlert",
    "Observed",
    "RuleFile",
    "Silence",
    "Target",
    "builtin_rules",
    "load_rules",
    "make_channels",
    "parse_rules",
]
