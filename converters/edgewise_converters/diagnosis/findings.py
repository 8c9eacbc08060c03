"""What a diagnosis finds, as plain data. Levels are signal to noise in dB against the original.

Where a softmax makes the outputs, levels at the outputs are those of its scores, as in the search of `convert`: what
is certain anyway would hide the noise.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cause:
    """Why a layer is noisy: a name, and the facts that say so."""

    name: str
    facts: str


@dataclass(frozen=True)
class Fix:
    """A change, and the model's outputs before and after it."""

    what: str
    before_db: float
    after_db: float

    @property
    def gain_db(self) -> float:
        """What it brings."""
        return self.after_db - self.before_db


@dataclass(frozen=True)
class LayerDiagnosis:
    """One layer of the quantized network."""

    name: str
    kind: str
    precision: str
    snr_db: float
    """At this layer: its noise and that of all before it."""
    alone_db: float | None
    """At the model's outputs when nothing else is quantized; None where that was not measured."""
    share: float | None
    """Of the noise that all layers make alone."""
    local_db: float | None
    """At this layer when nothing else is quantized; measured for the noisiest."""
    grid_db: float | None
    """Noise of putting the layer's float values on its grid."""
    causes: tuple[Cause, ...] = ()
    fix: Fix | None = None
    """What helps most of what was tried; None where nothing was tried or nothing helps."""


@dataclass(frozen=True)
class Diagnosis:
    """One network at one precision."""

    precision: str
    outputs_db: float
    """With every layer quantized that has its meaning in integers; for a written file, as it is."""
    layers: tuple[LayerDiagnosis, ...]
    """The noisiest first."""
    applied: tuple[Fix, ...]
    """What `edgewise convert` does about it, one upon the other."""
    notes: tuple[str, ...]
    measured_on: str
    samples: int
    unmatched: int = 0
    """Operators of a written file whose layers have no counterpart to be measured by."""
