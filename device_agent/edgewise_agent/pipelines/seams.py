"""What a pipeline looks at, what it asks of its model, and who may listen."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from edgewise.streams import Block, Frame, SensorBlock
from edgewise_agent.drift import Observation
from edgewise_messages import ModelInfo

Item = Frame | Block | SensorBlock


@dataclass(frozen=True)
class Answered:
    """One input and what the model says of it."""

    item: Item
    answer: Any
    input_name: str
    ts_ms: int
    model_sha256: str


class Slot(Protocol):
    """What a pipeline asks of its model."""

    def answers(self, item: Item) -> Iterator[tuple[Any, Observation | None]]:
        """None, one or several for an input. Raises edgewise.EdgewiseError or OSError."""

    def begin_anew(self) -> None:
        """Forget windows and recurrent state: the source begins again."""

    def exchange(self, path: Path) -> None:
        """Another model file in this one's place; on failure the old one stays."""

    def info(self) -> ModelInfo:
        """Which model this is."""

    @property
    def promise_ms(self) -> float | None:
        """The p95 latency that its card promises for this board."""


class Listener(Protocol):
    """Who is told every answer, on the pipeline's thread: rules, snapshots, a model on trial."""

    def hear(self, answered: Answered) -> None:
        """Whatever it raises is logged, counted and forgotten."""


class Follower(Protocol):
    """Who sees every input, also those that complete no window: a model on trial beside this one."""

    def anew(self) -> None:
        """The source begins again."""

    def take(self, item: Item, answers: list[Any] | None, latency_ms: float) -> None:
        """What was said of an input, and how long it took; None when it failed. On the pipeline's thread: be quick."""


def name_of(item: Item) -> str:
    """What to call an input in a message: the file's name, else the source and which one of it."""
    if isinstance(item, Frame) and isinstance(item.image, Path):
        return item.image.name
    return f"{item.source}#{item.index}"
