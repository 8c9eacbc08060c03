"""Which operators of a model run where: in a delegate, in XNNPACK, in the runtime's own kernels."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class PlacedOperator:
    """One operator of the main graph."""

    kind: str
    name: str
    """Its first output's in a .tflite file, its own in an .onnx file."""
    where: str
    """The delegate's name, XNNPACK or built-in; for .onnx the execution provider, such as CPU."""
    part: int | None = None
    """Which of the parts that a delegate took over it belongs to."""


@dataclass(frozen=True)
class Placement:
    """Where the operators of one opened model run."""

    backend: str
    delegate: str
    """The one in use; "" for none."""
    operators: tuple[PlacedOperator, ...]
    """In the order of the graph."""
    fallback: str = ""
    """Why the delegate that was asked for is not in use."""

    def counts(self) -> dict[str, int]:
        """How many operators each place runs, most first."""
        return dict(Counter(one.where for one in self.operators).most_common())

    def parts(self) -> dict[str, int]:
        """In how many parts each delegate has its operators; tensors change hands between them."""
        parts = {(one.where, one.part) for one in self.operators if one.part is not None}
        return dict(Counter(where for where, _ in sorted(parts, key=str)))

    def kinds(self, where: str) -> dict[str, int]:
        """How many operators of each kind that place runs, most first."""
        return dict(Counter(one.kind for one in self.operators if one.where == where).most_common())

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "counts": self.counts(), "parts": self.parts()}

    def lines(self) -> list[str]:
        """For a person: a line for each place, and one when a delegate is not in use."""
        parts = self.parts()
        lines = []
        for where, count in self.counts().items():
            pieces = f" in {parts[where]} part{'s' if parts[where] > 1 else ''}" if where in parts else ""
            kinds = ", ".join(f"{number} {kind}" for kind, number in self.kinds(where).items())
            lines.append(f"{where}: {count} of {len(self.operators)} operators{pieces}: {kinds}")
        return [*lines, *([self.fallback] if self.fallback else [])]

    def __str__(self) -> str:
        counts = ", ".join(f"{where} {count}" for where, count in self.counts().items())
        return f"{counts} of {len(self.operators)} operators"
