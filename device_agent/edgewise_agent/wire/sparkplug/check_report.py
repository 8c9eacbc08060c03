"""What `edgewise agent sparkplug-check` prints: one line for every rule."""

import json
from collections.abc import Callable

import typer

from edgewise_agent.settings.config import BrokerSettings
from edgewise_agent.wire.sparkplug.checking import Watch, check_node, check_through_tap
from edgewise_agent.wire.sparkplug.findings import Outcome, Verdict
from edgewise_agent.wire.sparkplug.rules import RULES


def run_check(broker: BrokerSettings, watch: Watch, *, tap: tuple[str, int] | None, as_json: bool) -> bool:
    """Watch, print, and return whether no rule failed."""
    if tap is not None:
        host, port = tap
        verdicts = check_through_tap(broker, watch, host=host, port=port, on_listening=_say_where(host))
    else:
        verdicts = check_node(broker, watch)
    typer.echo(_as_json(verdicts) if as_json else _as_text(verdicts))
    return all(verdict.outcome is not Outcome.FAIL for verdict in verdicts)


def split_tap(tap: str) -> tuple[str, int]:
    """[HOST:]PORT. Raises ValueError."""
    host, _, port = tap.rpartition(":")
    if not port.isdigit() or int(port) > 65535:
        raise ValueError(f"--tap: got {tap!r}, expected PORT or HOST:PORT")
    return host or "127.0.0.1", int(port)


def _say_where(host: str) -> Callable[[int], None]:
    def say(port: int) -> None:
        typer.echo(f"listening: broker.url of the node must be mqtt://{host}:{port}", err=True)

    return say


def _as_text(verdicts: tuple[Verdict, ...]) -> str:
    says = {rule.name: rule.says for rule in RULES}
    lines = [f"{verdict.outcome.value:8}  {verdict.rule:28}  {says[verdict.rule]}" for verdict in verdicts]
    failed = [verdict for verdict in verdicts if verdict.outcome is Outcome.FAIL]
    counts = ", ".join(f"{sum(v.outcome is one for v in verdicts)} {one.value}" for one in Outcome)
    return "\n".join([*lines, *(f"{one.rule}: {one.detail}" for one in failed), counts])


def _as_json(verdicts: tuple[Verdict, ...]) -> str:
    rules = [{"rule": one.rule, "outcome": one.outcome.value, "detail": one.detail} for one in verdicts]
    return json.dumps({"ok": all(one["outcome"] != Outcome.FAIL for one in rules), "rules": rules})
