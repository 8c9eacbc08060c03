"""[pipelines.NAME]: which model looks at what, and when."""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from edgewise_agent.pipelines.schedule import Schedule
from edgewise_agent.pipelines.source_words import SourceWord

Seconds = Annotated[float, Meta(ge=0.0, le=86_400.0)]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]


class DriftSettings(Struct, frozen=True, kw_only=True):
    """[pipelines.NAME.drift]: what it compares with the baseline in the model's card."""

    enabled: bool = True
    false_alarm_inputs: Annotated[int, Meta(ge=1_000, le=1_000_000_000)] = 10_000
    every_s: Seconds = 0.0


class PipelineSettings(Struct, frozen=True, kw_only=True):
    """[pipelines.NAME]: one model and what it looks at."""

    model: Path
    source: tuple[SourceWord, ...]
    interval_s: Seconds = 1.0
    loop: bool = True
    recursive: bool = False
    schedule: tuple[str, ...] = ()
    events: Literal["none", "all"] = "none"
    threads: Annotated[int, Meta(ge=0, le=64)] = 0
    task: str = ""
    head: str = ""
    labels: Path | None = None
    score_threshold: Share | None = None
    drift: DriftSettings = DriftSettings()

    def __post_init__(self) -> None:
        """Raises ValueError for a schedule that is none."""
        Schedule(self.schedule)


class DutySettings(Struct, frozen=True, kw_only=True):
    """[duty]: when the device is to work less."""

    slow_above_c: Annotated[float, Meta(ge=0.0, le=150.0)] = 80.0
    pause_above_c: Annotated[float, Meta(ge=0.0, le=150.0)] = 90.0
    slow_below_battery_percent: Annotated[float, Meta(ge=0.0, le=100.0)] = 20.0
    pause_below_battery_percent: Annotated[float, Meta(ge=0.0, le=100.0)] = 5.0
    slow_factor: Annotated[float, Meta(ge=1.0, le=1000.0)] = 4.0

    def __post_init__(self) -> None:
        """Raises ValueError for limits in the wrong order."""
        if self.pause_above_c <= self.slow_above_c:
            raise ValueError(
                f"pause_above_c: got {self.pause_above_c:g}, expected more than slow_above_c, {self.slow_above_c:g}"
            )
        if self.pause_below_battery_percent > self.slow_below_battery_percent:
            raise ValueError(
                f"pause_below_battery_percent: got {self.pause_below_battery_percent:g}, expected at most "
                f"slow_below_battery_percent, {self.slow_below_battery_percent:g}"
            )
