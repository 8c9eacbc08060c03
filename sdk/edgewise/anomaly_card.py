"""What a model file says about what is normal."""

from dataclasses import dataclass
from math import isfinite

from edgewise.errors import CardError

SQUARED, ABSOLUTE, NEAREST, MAHALANOBIS = "squared-error", "absolute-error", "nearest", "mahalanobis"
KINDS = (SQUARED, ABSOLUTE, NEAREST, MAHALANOBIS)
_NUMBERS_LIMIT, _COVARIANCE_LIMIT = 1 << 20, 512
"""8 MB as text, the most a card may have; and a matrix that is inverted within a few milliseconds."""


@dataclass(frozen=True, kw_only=True)
class AnomalyCard:
    """How a score is made of an answer, and from which score on it is an alarm.

    Two kinds compare what an autoencoder gives with what it got, the mean over the window: ``squared-error`` and
    ``absolute-error``. Two measure how far an embedding lies from normal ones: ``nearest`` is the Euclidean distance
    to the nearest of ``vectors``, ``mahalanobis`` the distance by ``mean`` and ``covariance`` (Mahalanobis, "On the
    generalised distance in statistics", Proc. Nat. Inst. Sci. India 2 (1936)).
    """

    kind: str
    threshold: float | None = None
    """A score above it is an alarm; see `fit_threshold`. None where it is still to be set."""
    false_alarm_rate: float | None = None
    """What share of normal inputs is expected to be an alarm."""
    low: float | None = None
    """Lower end of the 95 % interval of that share."""
    high: float | None = None
    samples: int = 0
    """How many normal scores the threshold was set from."""
    vectors: tuple[tuple[float, ...], ...] = ()
    mean: tuple[float, ...] = ()
    covariance: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise CardError(f"anomaly kind: got {self.kind!r}, expected one of {', '.join(map(repr, KINDS))}")
        if self.threshold is not None and not (self.threshold >= 0 and isfinite(self.threshold)):
            raise CardError(f"anomaly threshold: got {self.threshold}, expected a finite number of 0 or more")
        if self.samples < 0:
            raise CardError(f"anomaly samples: got {self.samples}, expected 0 or more")
        for what, share in (
            ("false_alarm_rate", self.false_alarm_rate),
            ("low", self.low),
            ("high", self.high),
        ):
            if share is not None and not 0 <= share <= 1:
                raise CardError(f"anomaly {what}: got {share}, expected 0 to 1")
        self._check_vectors()
        self._check_covariance()

    def _check_vectors(self) -> None:
        if bool(self.vectors) != (self.kind == NEAREST):
            raise CardError(
                f"anomaly vectors: got {len(self.vectors)} with kind {self.kind!r}, expected {NEAREST!r}"
                " to have some and the others none"
            )
        if not self.vectors:
            return
        size = len(self.vectors[0])
        if size < 1 or any(len(vector) != size for vector in self.vectors):
            raise CardError("anomaly vectors: got vectors of several sizes, or empty ones, expected one size")
        if size * len(self.vectors) > _NUMBERS_LIMIT:
            raise CardError(
                f"anomaly vectors: got {size * len(self.vectors)} numbers, expected at most {_NUMBERS_LIMIT}; "
                "keep fewer of them"
            )
        if not all(isfinite(value) for vector in self.vectors for value in vector):
            raise CardError("anomaly vectors: got NaN or infinity, expected finite numbers")

    def _check_covariance(self) -> None:
        size = len(self.mean)
        if bool(size) != (self.kind == MAHALANOBIS):
            raise CardError(
                f"anomaly mean: got {size} numbers with kind {self.kind!r}, expected {MAHALANOBIS!r} to have some "
                "and the others none"
            )
        if size > _COVARIANCE_LIMIT:
            raise CardError(
                f"anomaly mean: got {size} numbers, expected at most {_COVARIANCE_LIMIT}; use 'nearest'"
            )
        if len(self.covariance) != size or any(len(row) != size for row in self.covariance):
            raise CardError(
                f"anomaly covariance: got {len(self.covariance)} rows, expected {size} x {size} numbers"
            )
        if not all(map(isfinite, self.mean)) or not all(isfinite(v) for row in self.covariance for v in row):
            raise CardError("anomaly mean, covariance: got NaN or infinity, expected finite numbers")

    @property
    def is_reconstruction(self) -> bool:
        """Whether the model answers with its own input."""
        return self.kind in (SQUARED, ABSOLUTE)
