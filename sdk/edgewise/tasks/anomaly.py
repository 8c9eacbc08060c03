"""Whether an input is out of the ordinary: its score against a threshold that was set from normal data."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edgewise.anomaly_card import ABSOLUTE, MAHALANOBIS, AnomalyCard
from edgewise.errors import CardError, InvalidInput
from edgewise.tasks.timings import Timings
from edgewise.tensors import Array

_SHOWN = 5


@dataclass(frozen=True, eq=False)
class Anomaly:
    """How far one input is from normal."""

    score: float
    """0 or more, by the card's kind."""
    threshold: float | None
    """None where nobody set it."""
    contributions: Array
    """float64: what each channel, or each number of an embedding, adds to the score; they sum to it."""
    channels: tuple[str, ...]
    """Their names, where they have some."""
    timings: Timings

    @property
    def is_anomalous(self) -> bool:
        """Whether the score is above the threshold. Raises CardError where there is none."""
        if self.threshold is None:
            raise CardError("anomaly: got no threshold, expected one of the card; set it by fit_threshold()")
        return self.score > self.threshold

    @property
    def top_channel(self) -> str:
        """What adds most: a channel's name, or #number."""
        return self._name(int(self.contributions.argmax()))

    @property
    def latency_ms(self) -> float:
        """From the input to the answer."""
        return self.timings.total_ms

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "score": self.score,
            "threshold": self.threshold,
            "is_anomalous": None if self.threshold is None else self.is_anomalous,
            "contributions": self.contributions.tolist(),
            "channels": list(self.channels),
            "timings": asdict(self.timings),
        }

    def lines(self) -> list[str]:
        """For a person: the verdict, and what adds most to it."""
        verdict = "no threshold" if self.threshold is None else "anomalous" if self.is_anomalous else "normal"
        limit = "" if self.threshold is None else f" (threshold {self.threshold:.6g})"
        order = np.argsort(-self.contributions, kind="stable")[:_SHOWN]
        most = ", ".join(f"{self._name(int(i))} {self.contributions[i]:.3g}" for i in order)
        return [f"{verdict}: {self.score:.6g}{limit}; {most}"]

    def _name(self, index: int) -> str:
        return self.channels[index] if self.channels else f"#{index}"

    def __str__(self) -> str:
        return f"{self.lines()[0]} ({self.latency_ms:.1f} ms)"

    def __repr__(self) -> str:
        return f"<Anomaly {self}>"


class AnomalyScorer:
    """From an answer to score and contributions, as the card's kind says."""

    def __init__(self, card: AnomalyCard) -> None:
        """Raises CardError for a covariance that is none."""
        self.card = card
        self._vectors = np.array(card.vectors, np.float64)
        self._mean = np.array(card.mean, np.float64)
        if card.kind == MAHALANOBIS:
            self._root = _root_of(np.array(card.covariance, np.float64))

    def of_error(self, given: Array, answer: Array) -> tuple[float, Array]:
        """Both [time, channels]: the mean over all, and each channel's share. Raises InvalidInput, CardError."""
        if given.shape != answer.shape:
            raise CardError(
                f"anomaly: got an answer {answer.shape} to an input {given.shape}, expected its like"
            )
        off = answer.astype(np.float64) - given.astype(np.float64)
        errors = np.abs(off) if self.card.kind == ABSOLUTE else off * off
        parts = errors.mean(axis=0) / errors.shape[1]
        return _finite(float(parts.sum())), parts

    def of_vector(self, vector: Array) -> tuple[float, Array]:
        """[d]: the distance, and each number's share in it. Raises InvalidInput, CardError."""
        wanted = self._vectors.shape[1] if len(self._vectors) else len(self._mean)
        if vector.shape != (wanted,):
            raise CardError(f"anomaly: got an embedding of {vector.size} numbers, the card's have {wanted}")
        wide = vector.astype(np.float64)
        if self.card.kind == MAHALANOBIS:
            off = wide - self._mean
            squares = off * np.linalg.solve(self._root.T, np.linalg.solve(self._root, off))
        else:
            all_squares = (self._vectors - wide) ** 2
            squares = all_squares[int(all_squares.sum(axis=1).argmin())]
        total = _finite(float(squares.sum()))
        distance = max(total, 0.0) ** 0.5
        return distance, squares * (distance / total if total > 0 else 0.0)


def _root_of(covariance: Array) -> Array:
    """Its Cholesky root. Raises CardError for a matrix that is not symmetric and positive definite."""
    if not np.allclose(covariance, covariance.T, rtol=1e-6, atol=0):
        raise CardError("anomaly covariance: got a matrix that is not symmetric, expected a covariance")
    try:
        return np.asarray(np.linalg.cholesky(covariance))
    except np.linalg.LinAlgError as error:
        raise CardError(
            "anomaly covariance: got a matrix that is not positive definite; fit_mahalanobis() makes one from "
            "any number of vectors"
        ) from error


def _finite(score: float) -> float:
    if not np.isfinite(score):
        raise InvalidInput("anomaly: the model gave NaN or infinity for this input")
    return score
