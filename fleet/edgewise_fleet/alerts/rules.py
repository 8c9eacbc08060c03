"""Alert rules as they stand in a file, checked when they are read; knows neither store nor network."""

from __future__ import annotations

import difflib
import string
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Annotated, TypeAlias, get_args

import msgspec

from edgewise_fleet.alerts.silences import Silence, check_silence
from edgewise_fleet.errors import BadRules
from edgewise_messages.metrics import BY_NAME

Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{0,63}\Z")]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
FIELDS = ("value", "limit", "device", "group", "pipeline", "duration", "message")
"""What the texts of a rule may name in braces."""


class _Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What every rule has."""

    name: Name
    """Small letters, digits and hyphens; a later rule of the same name replaces an earlier one."""
    severity: Severity = "warning"
    """info, warning or critical."""
    for_s: Seconds = 0.0
    """How long it must hold before the alert is raised."""
    clear_for_s: Seconds = 0.0
    """How long it must no longer hold before the alert is cleared."""
    groups: tuple[str, ...] = ()
    """Only devices of these groups; all without."""
    devices: tuple[str, ...] = ()
    """Only these devices; all without."""
    cause: str = ""
    """What the alert says is wrong."""
    remedy: str = ""
    """What the alert says to do."""
    enabled: bool = True
    """False switches the rule of this name off."""

    def watches(self, group: str, device: str) -> bool:
        """Whether this device is the rule's business."""
        return (not self.groups or group in self.groups) and (not self.devices or device in self.devices)


Severity: TypeAlias = Annotated[str, msgspec.Meta(pattern="^(info|warning|critical)\\Z")]
SEVERITIES = ("info", "warning", "critical")


class MetricRule(_Rule, frozen=True, kw_only=True, tag="metric"):
    """A metric of an online device is above or below a limit, or has some of these bits set."""

    metric: str
    """A standard name (`edgewise_messages.metrics`) or one that your devices send; of every pipeline."""
    above: float | None = None
    """Raised while the value is greater."""
    below: float | None = None
    """Raised while the value is less."""
    bits: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Raised while any of these bits is set."""
    clear_at: float | None = None
    """Cleared only when the value is back at this; the limit itself without."""


class RiseRule(_Rule, frozen=True, kw_only=True, tag="rise"):
    """A counter of an online device grew."""

    metric: str
    """A counter, such as agent.dropped_records."""
    by: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    """By at least this between two readings of the fleet."""


class AbsenceRule(_Rule, frozen=True, kw_only=True, tag="absence"):
    """A device is silent or offline; one that was stopped on purpose is neither."""


class EventRule(_Rule, frozen=True, kw_only=True, tag="event"):
    """A device sent an event; cleared by another event, or after a while."""

    events: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    """Names of the events that raise it."""
    clear_events: tuple[str, ...] = ()
    """Names of the events that clear it."""
    clear_after_s: Seconds = 0.0
    """Cleared this long after the last event that raised it; 0 waits for a clearing event."""


class ServerRule(_Rule, frozen=True, kw_only=True, tag="server"):
    """The fleet server itself is in trouble: broker lost, store failing."""


AnyRule: TypeAlias = MetricRule | RiseRule | AbsenceRule | EventRule | ServerRule


class NotifySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is told."""

    apprise: tuple[str, ...] = ()
    """Apprise addresses: mailto://..., tgram://..., ntfy://... (https://github.com/caronc/apprise/wiki)."""
    webhooks: tuple[str, ...] = ()
    """http:// or https:// addresses that get each notification as JSON by POST."""
    webhook_secret: str = ""
    """Signs the body: header X-Edgewise-Signature, sha256= and HMAC-SHA256 in hexadecimal."""
    group_wait_s: Seconds = 10.0
    """How long a notification waits for company: alerts raised together come in one."""
    min_severity: Severity = "info"
    """Lesser alerts are shown on the page and not notified."""
    give_up_after_s: Seconds = 86_400.0
    """A notification that could not be delivered for so long is dropped, and that is logged."""


class RuleFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole file: what it adds to, or changes of, the built-in rules."""

    builtin: bool = True
    """False leaves the built-in rules out."""
    notify: NotifySettings = NotifySettings()
    rule: tuple[AnyRule, ...] = ()
    silence: tuple[Silence, ...] = ()


MAX_FILE_CHARACTERS = 4_000_000


def builtin_rules() -> tuple[AnyRule, ...]:
    """The rules that hold without a file."""
    text = files("edgewise_fleet.alerts").joinpath("builtin.toml").read_text(encoding="utf-8")
    return parse_rules(text, where="built-in rules", with_builtin=False).rule


def load_rules(path: Path) -> RuleFile:
    """Read a file. Raises BadRules, which says where and what to do."""
    try:
        with path.open(encoding="utf-8") as stream:
            text = stream.read(MAX_FILE_CHARACTERS + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise BadRules(f"alerts {path}: {reason}; name a TOML file") from error
    if len(text) > MAX_FILE_CHARACTERS:
        raise BadRules(
            f"alerts {path}: more than {MAX_FILE_CHARACTERS} characters; name a TOML file of rules"
        )
    return parse_rules(text, where=f"alerts {path}")


def parse_rules(text: str, *, where: str, with_builtin: bool = True) -> RuleFile:
    """The rules of a text, joined with the built-in ones by name. Raises BadRules."""
    try:
        found = msgspec.convert(tomllib.loads(text), RuleFile, strict=True)
    except tomllib.TOMLDecodeError as error:
        raise BadRules(f"{where}: {error}") from error
    except msgspec.ValidationError as error:
        raise BadRules(f"{where}: {error}{_nearest(str(error))}") from error
    for rule in found.rule:
        _check(rule, where)
    for silence in found.silence:
        check_silence(silence, where)
    for url in found.notify.webhooks:
        if not url.startswith(("http://", "https://")):
            raise BadRules(f"{where}: notify.webhooks: got {url!r}, expected http://... or https://...")
    earlier = builtin_rules() if with_builtin and found.builtin else ()
    by_name = {rule.name: rule for rule in (*earlier, *found.rule)}
    if len({rule.name for rule in found.rule}) < len(found.rule):
        raise BadRules(f"{where}: two rules have one name; give each its own")
    return msgspec.structs.replace(found, rule=tuple(rule for rule in by_name.values() if rule.enabled))


def _check(rule: AnyRule, where: str) -> None:
    here = f"{where}: rule {rule.name!r}"
    for text in (rule.cause, rule.remedy):
        _check_text(text, here)
    if isinstance(rule, MetricRule):
        given = [limit for limit in (rule.above, rule.below, rule.bits) if limit is not None]
        if len(given) != 1:
            raise BadRules(f"{here}: got {len(given)} of above, below and bits, expected one")
        _check_hysteresis(rule, here)
    if isinstance(rule, MetricRule | RiseRule) and rule.metric not in BY_NAME and "." not in rule.metric:
        near = difflib.get_close_matches(rule.metric, BY_NAME, 1, 0.4)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise BadRules(f"{here}: metric: got {rule.metric!r}, expected a name like board.temperature_c{hint}")
    if isinstance(rule, EventRule) and not rule.clear_events and not rule.clear_after_s:
        raise BadRules(f"{here}: would never be cleared; give clear_events or clear_after_s")


def _check_hysteresis(rule: MetricRule, here: str) -> None:
    if rule.clear_at is None:
        return
    if rule.bits is not None:
        raise BadRules(f"{here}: clear_at has no meaning with bits; leave it out")
    if rule.above is not None and rule.clear_at > rule.above:
        raise BadRules(f"{here}: clear_at: got {rule.clear_at:g}, expected at most above = {rule.above:g}")
    if rule.below is not None and rule.clear_at < rule.below:
        raise BadRules(f"{here}: clear_at: got {rule.clear_at:g}, expected at least below = {rule.below:g}")


def _check_text(text: str, here: str) -> None:
    try:
        named = [(name, spec) for _, name, spec, _ in string.Formatter().parse(text) if name is not None]
    except ValueError as error:
        raise BadRules(f"{here}: {text!r}: {error}; write {{{{ for a brace") from error
    for name, spec in named:
        if name not in FIELDS or spec:
            raise BadRules(f"{here}: {text!r}: got {{{name}}}, expected one of {', '.join(FIELDS)}")


def _nearest(message: str) -> str:
    """The known key that an unknown one was meant to be."""
    if "unknown field" not in message:
        return ""
    got = message.split("`")[1]
    kinds = (*get_args(AnyRule), NotifySettings, RuleFile, Silence)
    known = {field for kind in kinds for field in kind.__struct_fields__}
    near = difflib.get_close_matches(got, known, 1)
    return f"; did you mean {near[0]!r}?" if near else ""
