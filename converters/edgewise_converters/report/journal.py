"""What a conversion tries and decides on its way; the pipeline fills it, the report reads it."""

from dataclasses import dataclass, field

from edgewise_converters.agreement import Agreement


@dataclass(frozen=True)
class Attempt:
    """One precision that was built and verified."""

    precision: str
    agreement: Agreement
    """Of the runtime that agrees least."""
    refused: str = ""
    """Why it was not good enough; "" for the one that was written."""


@dataclass(frozen=True)
class Trial:
    """One way of quantizing that was compared with others."""

    described: str
    mean_db: float
    """Over the outputs."""
    top1: float | None = None


@dataclass
class Journal:
    """In the order of events."""

    attempts: list[Attempt] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)
    method: str = ""
    """How ranges and weights of the last static candidate were chosen."""

    def tried(self, described: str, agreement: Agreement) -> None:
        """A way of quantizing was measured."""
        levels = [output.snr_db for output in agreement.outputs]
        self.trials.append(Trial(described, sum(levels) / len(levels), agreement.top1))
