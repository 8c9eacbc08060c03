"""What a user says about rules, zones and lines."""

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from edgewise_messages import Severity

Name = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}\Z")]
Expression = Annotated[str, Meta(min_length=1, max_length=500)]
Duration = Annotated[float, Meta(ge=0.0, le=86_400.0)]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Point: TypeAlias = tuple[Share, Share]
"""x and y as shares of the picture's width and height, from its left top corner."""
Polygon = Annotated[tuple[Point, ...], Meta(min_length=3, max_length=64)]

MAX_WINDOW_INPUTS = 1000


class WindowSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A number over the latest inputs, which the rule's expressions know by its name."""

    of: Literal["count", "sum", "mean", "min", "max", "any", "all"]
    """What of the values; count is in how many inputs the value was true or not zero."""
    value: Expression
    """A number or a truth about each input."""
    last_s: Annotated[float, Meta(gt=0.0, le=86_400.0)] | None = None
    """The inputs of so many seconds; this or last_inputs."""
    last_inputs: Annotated[int, Meta(ge=1, le=MAX_WINDOW_INPUTS)] | None = None
    """So many inputs; this or last_s."""


class RuleSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[[rules.rule]]: when to tell what."""

    name: Name
    """What its events are called: rule.<name>."""
    when: Expression
    """A truth about an input."""
    for_s: Duration = 0.0
    """It must have been true for so long."""
    for_inputs: Annotated[int, Meta(ge=1, le=100_000)] = 1
    """It must have been true for so many inputs in a row."""
    clear_when: Expression | None = None
    """What ends it; by default that `when` is no longer true."""
    cooldown_s: Duration = 0.0
    """After it was told nothing is for so long."""
    tell: Literal["change", "each"] = "change"
    """Told once when it begins, or at each input while it is true."""
    tell_end: bool = False
    """Also told when it ends."""
    severity: Severity = Severity.INFO
    """Of its events."""
    message: Annotated[str, Meta(max_length=500)] = ""
    """A text with variables in braces: "{label} at {score:.2f}"."""
    snapshot: bool = False
    """Keep the input on the device when it is told."""
    window: dict[Name, WindowSettings] = {}
    """Numbers over the latest inputs, by the name that expressions use."""


class RulesSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[rules]: what is told of the answers, beyond numbers."""

    rule: Annotated[tuple[RuleSettings, ...], Meta(max_length=64)] = ()
    """The rules."""
    zones: Annotated[dict[Name, Polygon], Meta(max_length=32)] = {}
    """Parts of the picture by name: corners as shares of its width and height."""
    lines: Annotated[dict[Name, tuple[Point, Point]], Meta(max_length=32)] = {}
    """Lines by name, from one point to another; what crosses them is counted."""
    track_min_score: Share = 0.0
    """What is less certain is not tracked, and crosses no line."""
    track_max_gap_s: Annotated[float, Meta(gt=0.0, le=60.0)] = 1.0
    """What was not seen for longer is another object when it comes back."""


class SamplingSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[sampling]: which predictions are told one by one, so that rare classes are all told."""

    enabled: bool = False
    """Whether predictions are told by the law of this section."""
    keep_per_class: Annotated[int, Meta(ge=1, le=100_000)] = 20
    """So many of each class in a period are all kept; of the c-th one after them this share of c."""
    period_s: Annotated[float, Meta(gt=0.0, le=604_800.0)] = 3600.0
    """Then each class is rare again."""
    max_per_minute: Annotated[int, Meta(ge=1, le=6000)] = 60
    """Of all classes; beyond half of it only what is rare is kept."""
