"""Everything the page shows, as plain data."""

from collections import Counter
from dataclasses import dataclass

from edgewise.drift_baseline import Histogram
from edgewise_converters.layer_facts import LayerFacts
from edgewise_converters.report.journal import Journal
from edgewise_converters.request import Result

_NOISIEST = 8


@dataclass(frozen=True)
class Answer:
    """A classifier's first answer."""

    label: str
    score: float


@dataclass(frozen=True)
class Example:
    """One sample with the answers of the original and of the written file."""

    name: str
    picture: str
    """A small JPEG as a data URI; "" for what is no picture."""
    truth: str
    """Its class, where that is known."""
    before: Answer
    after: Answer

    @property
    def same(self) -> bool:
        """Whether both give the same first answer."""
        return self.before.label == self.after.label


@dataclass(frozen=True)
class Node:
    """One operator of a graph."""

    kind: str
    name: str
    precision: str = ""
    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class Findings:
    """One conversion, looked at."""

    source_name: str
    result: Result
    journal: Journal
    before: tuple[Node, ...]
    after: tuple[Node, ...]
    layers: tuple[LayerFacts, ...]
    """Empty where the written file's layers could not be measured."""
    layers_measured_on: int
    examples: tuple[Example, ...]

    @property
    def noisiest(self) -> tuple[LayerFacts, ...]:
        """The layers furthest from the original, the furthest first."""
        return tuple(sorted(self.layers, key=lambda layer: layer.snr_db)[:_NOISIEST])

    def counts(self, nodes: tuple[Node, ...]) -> list[tuple[str, int]]:
        """Kinds of operators, the most frequent first."""
        return Counter(node.kind for node in nodes).most_common()

    @property
    def confidences(self) -> Histogram | None:
        """Of the written file's first answers."""
        drift = self.result.card.drift
        return drift.answers.confidences if drift and drift.answers else None
