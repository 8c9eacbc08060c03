"""Which weights may take 4 bits: as many as the answers allow, by the noise that each layer is measured to add."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from edgewise.tensors import Array
from edgewise_converters.quantize.four_bits import (
    EIGHT_BITS,
    PER_BLOCK,
    PER_CHANNEL,
    possible_grids,
    quantize_four_bits,
)  # fmt: skip
from edgewise_converters.quantize.narrow_weights import Grid, WeightStore
from edgewise_converters.quantize.weight_slots import weight_slot
from edgewise_converters.tflite.graph import Graph, Operator
from edgewise_converters.tflite.runtimes import RuntimeRules

_BITS = {PER_CHANNEL: 4.0, PER_BLOCK: 4.5, EIGHT_BITS: 8.0}
"""Per weight; a block of 32 has 16 bits of scale."""
_ROUNDS = 6
_STRICTER_DB = 1.0
"""Added to what is asked of the prediction when the real noise turns out larger."""

Answers = Mapping[str, Array]
"""All outputs by name, over all trial cases."""


@dataclass(frozen=True, eq=False)
class Layer:
    """Operators that have the same weights, as the steps of a recurrence do."""

    operators: tuple[Operator, ...]
    grids: tuple[Grid, ...]
    """4-bit grids that all of them can have, the smallest first."""
    weights: int

    @property
    def name(self) -> str:
        """That of the first one's output."""
        return self.operators[0].output.name


Chosen = dict[Layer, Grid]


@dataclass(frozen=True)
class FourBits:
    """The graph, and the layers by how they are stored."""

    graph: Graph
    per_channel: tuple[str, ...]
    per_block: tuple[str, ...]
    kept_at_8: tuple[str, ...]

    def __str__(self) -> str:
        narrow = len(self.per_channel) + len(self.per_block)
        said = f"4-bit weights in {narrow} of {narrow + len(self.kept_at_8)} layers that can have them"
        if self.per_block:
            said += f", {len(self.per_block)} of these with a scale for every {PER_BLOCK.block} inputs"
        return said + (f"; 8 bits kept in {', '.join(self.kept_at_8)}" if self.kept_at_8 else "")


class FourBitSearch:
    """Starts with 4 bits everywhere and widens the layers that add most noise for each byte they save.

    Noise powers of layers quantized one at a time add up (facts of mixed precision; Pearson 0.98 to the real
    noise), so each layer is tried alone, the sum is predicted, and the outcome is measured.
    """

    def __init__(
        self,
        graph: Graph,
        store: WeightStore,
        rules: RuntimeRules,
        *,
        ask: Callable[[Graph], Answers],
        expected: Answers,
        convolutions: bool = False,
    ) -> None:
        self.graph, self.store, self.rules = graph, store, rules
        self.ask, self.expected = ask, expected
        self.layers = _layers(graph, convolutions)

    @property
    def most_tries(self) -> int:
        """How many graphs are asked at most."""
        return 2 + _ROUNDS + sum(len(layer.grids) for layer in self.layers)

    def narrowest_db(self) -> float:
        """What the worst output has left with 4 bits everywhere."""
        return self._worst_db(self._noise(self.ask(self._build(self._narrowest()))))

    def run(self, wanted_db: float) -> FourBits:
        """The smallest graph found whose outputs are all ``wanted_db`` or more above their noise on the trials."""
        chosen = self._narrowest()
        if self.narrowest_db() >= wanted_db:
            return self._outcome(chosen)
        base = self.ask(self._build({}))
        own = self._noise(base)
        added = {
            (layer, grid): self._noise(self.ask(self._build({layer: grid})), base)
            for layer in self.layers
            for grid in layer.grids
        }
        for round_ in range(_ROUNDS):
            self._widen(chosen, own, added, wanted_db + round_ * _STRICTER_DB)
            if self._worst_db(self._noise(self.ask(self._build(chosen)))) >= wanted_db:
                return self._outcome(chosen)
        return self._outcome({})

    def _narrowest(self) -> Chosen:
        return {layer: layer.grids[0] for layer in self.layers}

    def _widen(
        self, chosen: Chosen, own: Array, added: Mapping[tuple[Layer, Grid], Array], wanted_db: float
    ) -> None:
        """Give layers more bits until the predicted noise is low enough, the best bargain first."""
        nothing = np.zeros_like(own)
        while True:
            noise = own + sum((added.get((layer, chosen[layer]), nothing) for layer in self.layers), nothing)
            if self._worst_db(noise) >= wanted_db:
                return
            worst = int(np.argmax(noise / self._signal()))
            moves: list[tuple[float, int, Layer, Grid]] = []
            for layer in self.layers:
                now = chosen[layer]
                for grid in (*layer.grids, EIGHT_BITS):
                    saved = (added.get((layer, now), nothing) - added.get((layer, grid), nothing))[worst]
                    if _BITS[grid] > _BITS[now] and saved > 0:
                        cost = (_BITS[grid] - _BITS[now]) * layer.weights
                        moves.append((saved / cost, -len(moves), layer, grid))
            if not moves:
                return
            _, _, layer, grid = max(moves, key=lambda move: move[:2])
            chosen[layer] = grid

    def _build(self, chosen: Mapping[Layer, Grid]) -> Graph:
        grids = {id(operator): grid for layer, grid in chosen.items() for operator in layer.operators}
        return quantize_four_bits(self.graph, self.store, self.rules, grids)

    def _signal(self) -> Array:
        return np.array([np.square(v, dtype=np.float64).sum() for v in self.expected.values()]) + 1e-30

    def _noise(self, answers: Answers, base: Answers | None = None) -> Array:
        """Power of the difference, for each output."""
        reference = base or self.expected
        return np.array(
            [
                np.square(np.subtract(answers[name], reference[name], dtype=np.float64)).sum()
                for name in reference
            ]
        )

    def _worst_db(self, noise: Array) -> float:
        return float(np.min(10 * np.log10(self._signal() / (noise + 1e-30))))

    def _outcome(self, chosen: Mapping[Layer, Grid]) -> FourBits:
        def names(grid: Grid) -> tuple[str, ...]:
            return tuple(layer.name for layer in self.layers if chosen.get(layer, EIGHT_BITS) == grid)

        return FourBits(self._build(chosen), names(PER_CHANNEL), names(PER_BLOCK), names(EIGHT_BITS))


def _layers(graph: Graph, convolutions: bool) -> list[Layer]:
    sharing: dict[int, list[Operator]] = {}
    for operator in graph.operators:
        slot = weight_slot(operator)
        if slot is not None and possible_grids(operator, convolutions=convolutions):
            sharing.setdefault(id(slot.tensor), []).append(operator)
    return [_layer(operators, convolutions) for operators in sharing.values()]


def _layer(operators: list[Operator], convolutions: bool) -> Layer:
    slot = weight_slot(operators[0])
    assert slot is not None and slot.tensor.data is not None
    possible = [possible_grids(operator, convolutions=convolutions) for operator in operators]
    grids = [grid for grid in _BITS if all(grid in some for some in possible)]
    return Layer(tuple(operators), tuple(grids), slot.tensor.data.size)
