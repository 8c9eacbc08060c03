"""The search for the best static int8 model: ranges, rounding, correction, parts that stay float."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Quantization
from edgewise_converters.agreement import Agreement
from edgewise_converters.errors import ConversionError
from edgewise_converters.onnx_out.costs import products_of
from edgewise_converters.onnx_out.observe import observe
from edgewise_converters.onnx_out.opset import serialized
from edgewise_converters.onnx_out.range_table import RangeTable
from edgewise_converters.onnx_out.rescue import Rescue, rescues
from edgewise_converters.onnx_out.roles import CHOOSES, MOVES, roles_of
from edgewise_converters.onnx_out.rounding import LayerRounding
from edgewise_converters.onnx_out.static_int8 import StaticOptions, quantize_static
from edgewise_converters.onnx_out.stored import store_int8
from edgewise_converters.onnx_out.trials import Trials
from edgewise_converters.quantize.ranges import CHOOSERS
from edgewise_converters.verify import GATES_DB, Case

_WORTH_DB = 0.3
"""What a part that stays float must bring."""
_SINGLE_WORTH_DB = 0.1
_SAFE_DB = 3.0
"""Above the gate: other samples answer otherwise."""
_DISPUTED = 4
"""Values whose ranges are chosen one by one."""
_PROBES = 8
"""Samples by which one layer is judged; all decide about the whole."""
_STEPS = 6
"""Measurements on the way to the full budget."""
_FLOAT_SHARE = 0.35
"""The part of all products that may be computed in float to protect layers."""


@dataclass(frozen=True)
class Tried:
    """One way of quantizing, and how near it comes."""

    options: StaticOptions
    agreement: Agreement

    @property
    def level_db(self) -> float:
        """Mean over the outputs, less what the worst of them lacks to be safely above the gate."""
        levels = [output.snr_db for output in self.agreement.outputs]
        return float(np.mean(levels)) - max(0.0, GATES_DB["int8"] + _SAFE_DB - min(levels))

    @property
    def noise(self) -> float:
        """Mean of the outputs' noise powers, as parts of their signals'."""
        return float(np.mean([10 ** (-output.snr_db / 10) for output in self.agreement.outputs]))


class StaticSearch:
    """Ways to quantize one model, built from one look at its samples."""

    def __init__(self, model: ir.Model, trials: Trials, inputs: Mapping[str, Quantization]) -> None:
        """Calibrates. ``inputs`` have a quantization known beforehand. Raises ConversionError without a layer."""
        self.model, self.trials, self.inputs = model, trials, inputs
        self.tried: list[Tried] = []
        roles = roles_of(model.graph)
        if not roles.integer:
            raise ConversionError(
                "--precision int8: the model has no layer with constant weights, expected a Conv, MatMul or Gemm; "
                "use --precision fp32"
            )
        ends = [*model.graph.inputs, *model.graph.outputs]
        floats = {str(value.name) for value in ends if value.dtype == ir.DataType.FLOAT}
        count = len(trials.samples)
        trials.stage("Calibrating", count)
        self.observed = observe(
            model, roles.rounded | floats, trials.samples.feeds(), count=count, tick=trials.tick
        )
        self.ranges = {n: (s.minimum, s.maximum) for n, s in self.observed.values.items() if n in floats}
        self._table = RangeTable(self.observed.values)
        self._rounding = LayerRounding(self.observed.moments)

    def build(self, options: StaticOptions) -> ir.Model:
        """The model quantized so; what stays float has its weights stored as int8."""
        roles = roles_of(self.model.graph, options.spared)
        twin = quantize_static(
            self.model, roles, self._table, options, rounding=self._rounding, inputs=self.inputs
        )
        store_int8(twin.graph)
        return twin

    def best(self, method: str, *, rescue: bool = True) -> Tried:
        """Of all ways to choose ranges (or the one called ``method``), and weights.

        With ``rescue`` a few parts may stay float where that helps and costs little.
        """
        names = list(CHOOSERS) if method == "auto" else [method]
        best = self._ask(StaticOptions(names[0]))
        found = rescues(self.model.graph, roles_of(self.model.graph)) if rescue else []
        best = self._spared(best, [entry for entry in found if entry.comes_first])
        self.trials.stage("Choosing ranges", len(names[1:]) * len(self.trials.cases))
        best = self._better(best, [replace(best.options, ranges=name) for name in names[1:]])
        self.trials.stage("Choosing the rounding", 2 * len(self.trials.cases))
        plainer = [replace(best.options, rounding="nearest"), replace(best.options, correct_bias=False)]
        best = self._better(best, plainer)
        best = self._spared(best, [entry for entry in found if not entry.comes_first])
        return self._singly(best) if method == "auto" else best

    def _spared(self, best: Tried, found: list[Rescue]) -> Tried:
        """Leave parts in float, one after the other, where that helps."""
        self.trials.stage("Sparing what int8 harms most", len(found) * len(self.trials.cases))
        for entry in found:
            spared = best.options.spared | entry.spared
            best = self._better(best, [replace(best.options, spared=spared)], worth_db=_WORTH_DB)
        return best

    def _singly(self, best: Tried) -> Tried:
        """Another range for the values over which the ways to choose one disagree most, one after the other."""
        roles = roles_of(self.model.graph, best.options.spared)
        free = roles.rounded - set(roles.shares) - set(self.inputs)
        disputed = self._table.disputed(best.options.ranges, free)[:_DISPUTED]
        self.trials.stage("Choosing ranges one by one", len(disputed) * len(self.trials.cases))
        for name, way in disputed:
            ranges_of = {**best.options.ranges_of, name: way}
            best = self._better(best, [replace(best.options, ranges_of=ranges_of)], worth_db=_SINGLE_WORTH_DB)
        return best

    def protect(self, base: Tried) -> Tried:
        """Take out of int8 the layers that add most noise for their cost; as many as help, within the budget."""
        products = {
            str(node.outputs[0].name): products_of(node)
            for node in self.model.graph
            if node.outputs[0].name in roles_of(self.model.graph, base.options.spared).integer
            and node.op_type not in MOVES | CHOOSES | {"Relu", "Clip"}
        }
        budget = _FLOAT_SHARE * sum(products.values())
        chosen, used = [], 0
        for name in self._culprits(base, products):
            if used + products[name] <= budget:
                chosen.append(name)
                used += products[name]
        self.trials.stage("Protecting layers", _STEPS * len(self.trials.cases))
        best = base
        for step in range(1, _STEPS + 1):
            spared = base.options.spared | set(chosen[: -(-len(chosen) * step // _STEPS)])
            best = self._better(best, [replace(base.options, spared=frozenset(spared))])
        return best

    def _culprits(self, base: Tried, products: Mapping[str, int]) -> list[str]:
        """Layers without which there is less noise, those first that give most for their products."""
        cases = self.trials.cases[:_PROBES]
        self.trials.stage("Looking for the layers that int8 harms", (len(products) + 1) * len(cases))
        noise = self._ask(base.options, cases).noise
        gains = {}
        for name in products:
            spared = frozenset({*base.options.spared, name})
            gains[name] = noise - self._ask(replace(base.options, spared=spared), cases).noise
        smallest = max(sum(products.values()) // 1000, 1)
        helping = [name for name, gain in gains.items() if gain > 0]
        return sorted(helping, key=lambda name: -gains[name] / max(products[name], smallest))

    def _better(self, best: Tried, others: list[StaticOptions], worth_db: float = 0.0) -> Tried:
        """The best of these; another must be better by more than ``worth_db``."""
        for options in others:
            other = self._ask(options)
            if other.level_db > best.level_db + worth_db:
                best = other
        return best

    def _ask(self, options: StaticOptions, cases: list[Case] | None = None) -> Tried:
        tried = Tried(options, self.trials.agreement(serialized(self.build(options)), cases))
        if cases is None:
            self.tried.append(tried)
        return tried
