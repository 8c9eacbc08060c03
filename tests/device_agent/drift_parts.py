"""Small baselines and streams with known statistics."""

from collections import Counter

import numpy as np

from edgewise.drift_baseline import (
    MOST_ROWS,
    AnswerBaseline,
    ClassCount,
    DriftBaseline,
    Histogram,
    PictureBaseline,
    SampleRows,
)
from edgewise_agent.drift import DriftMonitor, Observation, Reference, reference_of
from edgewise_agent.drift.monitor import Change

TENTHS = tuple(i / 10 for i in range(11))
CLASSES = 6
SHARES = np.array([0.3, 0.25, 0.2, 0.15, 0.07, 0.03])
LABELS = ("ant", "bee", "cat", "dog", "elk", "fox")


def observations(
    rng: np.random.Generator,
    count: int,
    *,
    darker: float = 0.0,
    sharper: float = 0.0,
    surer: float = 0.0,
    shares: np.ndarray = SHARES,
) -> list[Observation]:
    """Brightness of mean 118 and deviation 20, sharpness of 0.12 and 0.03 with a heavy tail, answers by shares."""
    brightness = rng.normal(118 - darker, 20, count)
    sharpness = 0.12 + sharper + 0.03 * rng.standard_t(4, count)
    confidence = np.clip(rng.beta(4, 3, count) + surer, 0, 1)
    answers = rng.choice(len(shares), count, p=shares)
    return [
        Observation(
            {"brightness": b, "sharpness": s, "confidence": c, "margin": c * c},
            int(a),
            ((int(a), (int(a) + 1) % CLASSES), (c, 1 - c)),
        )
        for b, s, c, a in zip(
            brightness.tolist(), sharpness.tolist(), confidence.tolist(), answers, strict=True
        )
    ]


def tenths_of(values: list[float]) -> Histogram:
    """As the converter makes them."""
    return Histogram.of(values, tuple(np.quantile(values, np.linspace(0, 1, 11)).tolist()))


def baseline_of(samples: list[Observation]) -> DriftBaseline:
    """As the converter makes one of these samples."""

    def column(name: str) -> list[float]:
        return [one.statistics[name] for one in samples]

    classes = Counter(one.answer for one in samples if one.answer is not None)
    return DriftBaseline(
        samples=len(samples),
        measured_on="photos/",
        inputs=(),
        answers=AnswerBaseline(
            Histogram.of(column("confidence"), TENTHS),
            Histogram.of(column("margin"), TENTHS),
            tuple(ClassCount(index, count) for index, count in classes.most_common()),
        ),
        pictures=tuple(
            PictureBaseline(name, float(np.mean(column(name))), tenths_of(column(name)))
            for name in ("brightness", "sharpness")
        ),
        rows=rows_of(samples[:MOST_ROWS]),
    )


def rows_of(samples: list[Observation]) -> SampleRows:
    """Brightness, sharpness and answers of each."""
    values = [(one.statistics["brightness"], one.statistics["sharpness"]) for one in samples]
    return SampleRows(
        tuple(values), tuple(one.likeliest[0] for one in samples), tuple(one.likeliest[1] for one in samples)
    )


def joined_inputs(monitor: DriftMonitor) -> int:
    """How many of the device's first inputs are in the baseline."""
    return len(monitor.state()["first_inputs"]["rows"]["values"])


def reference(samples: list[Observation]) -> Reference:
    """The reference by a baseline of these samples."""
    made = reference_of(baseline_of(samples), LABELS)
    assert isinstance(made, Reference)
    return made


def changes(monitor: DriftMonitor, stream: list[Observation]) -> list[Change]:
    """All that the monitor says about them."""
    return [change for one in stream if (change := monitor.add(one))]
