"""A long sequence as a WHILE: some steps are written out in its body, the states and what they gave go round.

The states are inputs and outputs of the loop, so that nothing is remembered from one call to the next.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edgewise_converters.lower.cells import Cell
from edgewise_converters.lower.control import read_row, repeat, written
from edgewise_converters.lower.formula import Formula
from edgewise_converters.lower.lowering import Lowering
from edgewise_converters.tflite.graph import Tensor

_MOST_AT_ONCE = 16
"""Steps written out in the body. Each round copies all that goes round, so that few rounds are faster: 1,000 steps of
an LSTM of 128 took 111 ms one by one, 37 ms by 16 (LiteRT, x86)."""
_CACHED_BYTES = 2 << 20
"""What the weights of these steps, which are packed anew for each, may take: 256 steps of an LSTM of 512 (4 MB) took
114 ms one by one, 176 ms by 16."""


@dataclass(frozen=True, eq=False)
class Steps:
    """One direction over a sequence."""

    products: Tensor
    """What the gates get from the input: [steps * batch, gates * hidden]."""
    steps: int
    lengths: Tensor | None
    """Steps of each sequence that count, int32 [batch, 1]; None where all do."""
    backward: bool
    wanted: bool
    """Whether the states of every step are asked for, not the last ones alone."""


def run_loop(
    low: Lowering, name: str, sequence: Steps, cell: Callable[[Formula], Cell], states: Sequence[Tensor]
) -> tuple[Tensor | None, tuple[Tensor, ...]]:
    """What every step gave, [steps, batch, hidden], if wanted, and the last states."""
    batch, hidden = states[0].shape
    recurrence = cell(Formula(low, name)).weights.recurrence
    at_once = steps_at_once(sequence.steps, recurrence.nbytes)
    rounds = sequence.steps // at_once
    shape = (rounds, at_once * batch, sequence.products.shape[-1])
    products = low.reshape(sequence.products, shape, f"{name}/rounds")
    zeros = np.zeros((rounds, at_once * batch, hidden), np.float32)
    buffers = [Tensor.constant(low.name(f"{name}/outputs"), zeros)] if sequence.wanted else []
    lengths = [] if sequence.lengths is None else [sequence.lengths]

    def body(inner: Lowering, index: Tensor, now: list[Tensor], given: list[Tensor]) -> list[Tensor]:
        f = Formula(inner, f"{name}/step")
        place = f("SUB", f.constant(rounds - 1, np.int32), index) if sequence.backward else index
        rows = _rows(inner, f, read_row(inner, f.name, given[0], place), at_once)
        first = f("MUL", place, at_once) if lengths else None
        results, last = _steps(cell(f), rows, tuple(now[: len(states)]), sequence.backward, first, given[1:])
        if not buffers:
            return list(last)
        joined = _joined(inner, results, f"{name}/joined")
        return [*last, written(inner, f"{name}/outputs", now[-1], place, joined)]

    results = repeat(low, name, rounds, [*states, *buffers], [products, *lengths], body)
    outputs = None
    if buffers:
        outputs = low.reshape(results[-1], (sequence.steps, batch, hidden), f"{name}/every_step")
    return outputs, tuple(results[: len(states)])


def _steps(
    cell: Cell,
    rows: list[Tensor],
    states: tuple[Tensor, ...],
    backward: bool,
    first: Tensor | None,
    lengths: list[Tensor],
) -> tuple[list[Tensor], tuple[Tensor, ...]]:
    """Some steps, the first at time ``first``: what each gave in the order of time, and the last states."""
    f, results = cell.f, list(rows)
    for step in reversed(range(len(rows))) if backward else range(len(rows)):
        after = cell.step(rows[step], states)
        results[step] = after[0]
        if first is not None:
            runs = f("GREATER", lengths[0], f("ADD", first, step))
            results[step] = f.where(runs, after[0], 0.0)
            after = tuple(f.where(runs, new, old) for new, old in zip(after, states, strict=True))
        states = after
    return results, states


def steps_at_once(steps: int, weight_bytes: int) -> int:
    """The most steps, up to what is fast, of which the sequence is a whole number of rounds."""
    most = min(_MOST_AT_ONCE, steps, max(_CACHED_BYTES // max(weight_bytes, 1), 1))
    return next(count for count in range(most, 0, -1) if steps % count == 0)


def _rows(low: Lowering, f: Formula, tensor: Tensor, parts: int) -> list[Tensor]:
    if parts == 1:
        return [tensor]
    shape = (tensor.shape[0] // parts, *tensor.shape[1:])
    axis = f.constant(0, np.int32)
    return low.emit_many("SPLIT", [axis, tensor], [shape] * parts, f"{f.name}/rows", {"numSplits": parts})


def _joined(low: Lowering, parts: list[Tensor], name: str) -> Tensor:
    if len(parts) == 1:
        return parts[0]
    shape = (sum(part.shape[0] for part in parts), *parts[0].shape[1:])
    return low.emit("CONCATENATION", parts, shape, name, dtype=np.float32, options={"axis": 0})
