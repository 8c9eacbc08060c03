"""Ways to quantize one graph, each judged by what it answers to a few samples."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from edgewise.tensors import Quantization
from edgewise_converters.agreement import Agreement
from edgewise_converters.quantize import Shared, StaticOptions, quantize_static
from edgewise_converters.tflite.graph import Graph
from edgewise_converters.tflite.writer import serialize
from edgewise_converters.verify import Case, Layouts, measure, open_runtime

WORTH_DB = 0.05
"""Less than this is luck: the plainer way is kept."""


@dataclass(frozen=True)
class Trial:
    """One way, and what came of it."""

    why: str
    """What was tried, in words."""
    options: StaticOptions
    agreement: Agreement

    @property
    def score_db(self) -> float:
        """Between the mean and the worst of the outputs' signal-to-noise ratios: a gate sees only the worst."""
        mean = float(np.mean([output.snr_db for output in self.agreement.outputs]))
        return (mean + self.agreement.worst_db) / 2

    @property
    def noise(self) -> float:
        """Noise power as a part of the signal's, mean of the outputs."""
        return float(np.mean([10 ** (-output.snr_db / 10) for output in self.agreement.outputs]))


@dataclass
class Candidates:
    """Builds and asks ways to quantize ``graph``; remembers all of them."""

    graph: Graph
    """float32."""
    shared: Shared
    entries: dict[str, Quantization]
    """Quantization of the inputs that are integers themselves, by name."""
    runtime: str
    cases: list[Case]
    layouts: Layouts
    classifies: bool
    tick: Callable[[], None]
    tried: list[Trial] = field(default_factory=list)

    def build(self, options: StaticOptions) -> Graph:
        """The graph quantized in one way."""
        return quantize_static(self.graph, self.shared, options, inputs=self.entries)

    def ask(self, options: StaticOptions, why: str, *, cases: int | None = None) -> Trial:
        """Judge one way by all, or the first few, of the cases."""
        network = serialize(self.build(options), description="trial", metadata={})
        backend = open_runtime(network, self.runtime)
        some = self.cases[:cases]
        agreement = measure(backend, some, self.layouts, classifies=self.classifies, tick=self.tick)
        backend.close()
        trial = Trial(why, options, agreement)
        self.tried.append(trial)
        return trial

    def better(
        self, best: Trial, others: Iterable[tuple[str, StaticOptions]], *, worth_db: float = WORTH_DB
    ) -> Trial:
        """The best of ``best`` and ``others``; another way must gain ``worth_db``."""
        for why, options in others:
            trial = self.ask(options, why)
            if trial.score_db >= best.score_db + worth_db:
                best = trial
        return best
