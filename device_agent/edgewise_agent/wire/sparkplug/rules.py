"""Every rule by name. docs/agent/wire.md says which of the Sparkplug 3.0 rules each one is."""

from collections.abc import Callable
from dataclasses import dataclass

from edgewise_agent.wire.sparkplug import birth_rules as birth
from edgewise_agent.wire.sparkplug import connection_rules as connection
from edgewise_agent.wire.sparkplug import data_rules as data
from edgewise_agent.wire.sparkplug.findings import Findings, Verdict, judge, unless
from edgewise_agent.wire.sparkplug.trace import Trace


def payloads_decode(trace: Trace) -> Findings:
    """0. Every payload is a Sparkplug payload."""
    yield from trace.undecodable
    for life in trace.lives:
        for _ in life.said:
            yield unless(True, "")


@dataclass(frozen=True)
class Rule:
    """One rule; the first line of the check's docstring says what it asks for."""

    name: str
    check: Callable[[Trace], Findings]

    @property
    def says(self) -> str:
        """In words, with its number in docs/agent/wire.md."""
        return (self.check.__doc__ or "").strip()


def _named(*checks: Callable[[Trace], Findings]) -> tuple[Rule, ...]:
    return tuple(Rule(check.__name__.replace("_", "-"), check) for check in checks)


RULES = _named(
    payloads_decode,
    connection.clean_session,
    connection.will_is_ndeath,
    connection.will_qos_1,
    connection.will_not_retained,
    connection.ndeath_bd_seq,
    connection.ndeath_without_seq,
    connection.bd_seq_advances,
    connection.ncmd_subscribed_first,
    birth.birth_first,
    birth.birth_qos_0,
    birth.birth_not_retained,
    birth.nbirth_seq_0,
    birth.timestamps_utc_ms,
    birth.birth_metrics_whole,
    birth.birth_has_rebirth,
    birth.birth_has_bd_seq,
    birth.dbirths_before_ddata,
    birth.every_metric_born,
    data.seq_continuous,
    data.data_qos_0,
    data.data_has_values,
    data.data_chronological,
    data.history_flagged,
    data.only_changes,
    birth.aliases_in_births,
    birth.data_alias_only,
    birth.aliases_unique,
    birth.rebirth_without_alias,
    data.rebirth_answered,
    data.rebirth_rate_limited,
    connection.ndeath_before_disconnect,
    birth.ids_valid,
    data.primary_host_awaited,
    data.primary_host_offline_leaves,
    connection.ndeath_matches_birth,
    connection.bd_seq_nowhere_else,
)


def judge_all(trace: Trace) -> tuple[Verdict, ...]:
    """Every rule's verdict, in the order of RULES."""
    return tuple(judge(rule.name, rule.check(trace)) for rule in RULES)
