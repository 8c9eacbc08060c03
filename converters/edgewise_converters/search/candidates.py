"""Ways to quantize one graph, each judged by what it answers to a few samples."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from edgewise.backends import Backend
from edgewise.tensors import Array, Quantization
from edgewise_converters.agreement import Agreement, Meter, nothing_agrees
from edgewise_converters.errors import VerificationFailed
from edgewise_converters.quantize import Shared, StaticOptions, quantize_static
from edgewise_converters.quantize.empirical_bias import measured_shifts, samples_to_keep
from edgewise_converters.search.cost import threads_for
from edgewise_converters.search.judging import judged_tensors
from edgewise_converters.spill import release_mapped
from edgewise_converters.tflite.graph import Graph
from edgewise_converters.tflite.pieces import Piece, cut, run_in_pieces
from edgewise_converters.tflite.writer import serialize
from edgewise_converters.verify import Case, Layouts, in_order, open_runtime, to_stored

_SMALLEST = 1e-30
WORTH_DB = 0.05
"""Less than this is luck: the plainer way is kept."""


@dataclass(frozen=True)
class Trial:
    """One way, and what came of it."""

    why: str
    """What was tried, in words."""
    options: StaticOptions
    agreement: Agreement
    """With the float graph, of what is judged (see `judging`)."""

    @property
    def score_db(self) -> float:
        """Between the mean and the worst of the judged signal-to-noise ratios: a gate sees only the worst."""
        mean = float(np.mean([output.snr_db for output in self.agreement.outputs]))
        return (mean + self.agreement.worst_db) / 2

    @property
    def noise(self) -> float:
        """Noise power as a part of the signal's, mean of what is judged."""
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
    read_inputs: Callable[[int], list[list[Array]]]
    """At most so many samples, spread over those that were calibrated on, as the graph takes them."""
    tick: Callable[[], None]
    tried: list[Trial] = field(default_factory=list)

    def build(self, options: StaticOptions) -> Graph:
        """The graph quantized in one way."""
        return quantize_static(self.graph, self.shared, options, inputs=self.entries)

    def with_measured_biases(self, options: StaticOptions) -> StaticOptions:
        """The same, with biases corrected by what layers are off by in it."""
        samples = self.read_inputs(samples_to_keep(self._judged))
        shifts = measured_shifts(
            self._judged, self.shared, options, samples, inputs=self.entries, tick=self.tick
        )
        return replace(options, shifts_of=shifts)

    def ask(self, options: StaticOptions, why: str, *, cases: Sequence[int] | None = None) -> Trial:
        """Judge one way by all cases, or by some (by their places). What the runtime refuses agrees with nothing."""
        quantized = quantize_static(self._judged, self.shared, options, inputs=self.entries)
        places = range(len(self.cases)) if cases is None else cases
        try:
            agreement = self._measured(quantized, places)
        except VerificationFailed:  # such as operands whose scales are too far apart for a kernel
            agreement = nothing_agrees(self._expected[0], len(places))
        trial = Trial(why, options, agreement)
        self.tried.append(trial)
        return trial

    def _measured(self, quantized: Graph, places: Sequence[int]) -> Agreement:
        meter = Meter()
        backend = self._open(quantized)
        for place in places:
            meter.add(self._expected[place], self._answers(backend, self.cases[place]))
            self.tick()
        backend.close()
        return meter.result()

    def worst_cases(self, options: StaticOptions, count: int) -> list[int]:
        """Places of the cases that hold most of the noise: what helps there helps the whole."""
        backend = self._open(quantize_static(self._judged, self.shared, options, inputs=self.entries))
        errors = []
        for expected, case in zip(self._expected, self.cases, strict=True):
            got = self._answers(backend, case)
            errors.append([_energy(expected[name], got[name]) for name in expected])
        backend.close()
        signals = np.sum([[float(np.sum(np.square(a))) for a in e.values()] for e in self._expected], axis=0)
        noise = (np.array(errors) / np.maximum(signals, _SMALLEST)).sum(axis=1)
        return sorted(map(int, np.argsort(-noise, kind="stable")[:count]))

    def better(
        self, best: Trial, others: Iterable[tuple[str, StaticOptions]], *, worth_db: float = WORTH_DB
    ) -> Trial:
        """The best of ``best`` and ``others``; another way must gain ``worth_db``."""
        for why, options in others:
            trial = self.ask(options, why)
            if trial.score_db >= best.score_db + worth_db:
                best = trial
        return best

    @cached_property
    def _judged(self) -> Graph:
        """The same operators, leading to what is judged."""
        graph = self.graph
        return Graph(graph.name, graph.inputs, judged_tensors(graph), graph.operators)

    @cached_property
    def _expected(self) -> list[dict[str, Array]]:
        """The float graph's answers to the cases."""
        needed = Graph(self._judged.name, self._judged.inputs, self._judged.outputs, self._judged.operators)
        needed.remove_unused()
        pieces = cut(needed)
        if len(pieces) > 1:
            return self._expected_in_pieces(needed, pieces)
        backend = self._open(needed)
        answers = [self._answers(backend, case) for case in self.cases]
        backend.close()
        return answers

    def _expected_in_pieces(self, graph: Graph, pieces: list[Piece]) -> list[dict[str, Array]]:
        found: dict[int, list[Array]] = {id(tensor): [] for tensor in graph.outputs}

        def keep(piece: Piece, values: Mapping[int, Array]) -> None:
            for operator in piece.operators:
                for tensor in operator.outputs:
                    if id(tensor) in found:
                        found[id(tensor)].append(np.array(values[id(tensor)]))

        feeds = (in_order(graph, case.feed, self.layouts) for case in self.cases)
        threads = threads_for(self.graph)
        run_in_pieces(pieces, feeds, graph.outputs, keep, inputs=graph.inputs, threads=threads)
        answers = zip(*(found[id(tensor)] for tensor in graph.outputs), strict=True)
        return [{f"{place}": array for place, array in enumerate(answer)} for answer in answers]

    def _open(self, graph: Graph) -> Backend:
        network = serialize(graph, description="trial", metadata={})
        release_mapped()
        return open_runtime(network, self.runtime, threads=threads_for(self.graph))

    def _answers(self, backend: Backend, case: Case) -> dict[str, Array]:
        arrays = backend.run(to_stored(backend, case.feed, self.layouts))
        return {f"{place}": array for place, array in enumerate(arrays)}


def _energy(expected: Array, got: Array) -> float:
    """The sum of squared differences; infinite where there is another number of results."""
    if expected.shape != got.shape:
        return float("inf")
    return float(np.sum(np.square(got.astype(np.float64) - expected.astype(np.float64))))
