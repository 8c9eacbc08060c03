"""RNN, GRU and LSTM, written out step by step or, where they are long, as a loop, with the state in and out of it.

All steps' inputs are multiplied at once; each step then is one product with the state. Nothing is remembered from one
call to the next: TFLite's own sequence operators keep their state in variables, and answer right only once.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgewise_converters.lower.attributes import constant_input, float_of, input_of, int_of, string_of
from edgewise_converters.lower.cells import CELLS, Cell, Weights, activations_of
from edgewise_converters.lower.formula import Formula
from edgewise_converters.lower.lowering import Lowering, lowers
from edgewise_converters.lower.recurrent_loop import Steps, run_loop
from edgewise_converters.lower.slicing import cut
from edgewise_converters.tflite.graph import Tensor

_MAX_WRITTEN_OUT = 64
"""Each step is ten to twenty operators; a longer sequence makes a file that is slow to load."""
_MAX_PACKED_BYTES = 64 << 20
"""XNNPACK packs the weights of every step that is written out, so that is what they may take on the device."""
_LENGTHS, _HIDDEN, _CELL = 4, 5, 6
"""Inputs of the three operators beyond X, W, R and B."""
_PEEPHOLES = 7


@dataclass(frozen=True)
class _Run:
    """What one direction gave: the state after each step in the order of time, and the last states."""

    steps: list[Tensor] | Tensor | None
    """One for each step, or all of them [steps, batch, hidden]; None where nobody reads them."""
    states: tuple[Tensor, ...]


@lowers("RNN", "GRU", "LSTM")
def lower_recurrent(low: Lowering, node: ir.Node) -> None:
    """Every direction for itself, then put together as ONNX lays them out."""
    data = node.inputs[0]
    assert data is not None
    f, batch_first = Formula(low, str(node.name)), bool(int_of(node, "layout", 0))
    source = low.read(data)
    if batch_first:
        source = low.transpose(source, [1, 0, 2], f"{f.name}/time_first")
    if constant_input(node, 2) is None:
        raise low.refuse(node, "its recurrence is computed, expected constants")
    direction = string_of(node, "direction", "forward")
    backward = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[direction]
    run = _looped if _is_long(node, source.shape[0]) else _written_out
    runs = [run(low, f, node, source, index, back) for index, back in enumerate(backward)]
    _bind_sequence(low, f, node, runs, batch_first)
    for position, output in enumerate(node.outputs[1:]):
        if output.uses() or output.is_graph_output():
            _bind_state(low, f, output, [run.states[position] for run in runs], batch_first)


def _is_long(node: ir.Node, steps: int) -> bool:
    recurrence = constant_input(node, 2)
    assert recurrence is not None
    return steps > min(_MAX_WRITTEN_OUT, max(_MAX_PACKED_BYTES // max(recurrence.nbytes, 1), 1))


def _cell(low: Lowering, f: Formula, node: ir.Node, direction: int) -> Cell:
    """The cell of one direction, with its weights as constants that all steps share."""
    arrays = [constant_input(node, index) for index in (1, 2, 3, _PEEPHOLES)]
    given = [input_of(node, index) for index in (1, 2, 3, _PEEPHOLES)]
    for name, array, value in zip(("weights", "recurrence", "bias", "peepholes"), arrays, given, strict=True):
        if value is not None and array is None:
            raise low.refuse(node, f"its {name} are computed, expected constants")
    weights, recurrence, bias, peepholes = (None if a is None else a[direction] for a in arrays)
    assert weights is not None and recurrence is not None
    hidden = recurrence.shape[-1]
    both = np.zeros(2 * len(weights), np.float32) if bias is None else bias
    names, alphas, betas = activations_of(node)
    kind = CELLS[node.op_type]
    chosen = slice(direction * len(kind.activations), (direction + 1) * len(kind.activations))
    return kind(
        f,
        Weights(weights, recurrence, both[: len(weights)], both[len(weights) :], peepholes, hidden),
        names[chosen],
        alphas[chosen],
        betas[chosen],
        clip=float_of(node, "clip", 0.0),
        variant=bool(int_of(node, "linear_before_reset", 0) or int_of(node, "input_forget", 0)),
    )


def _initial(low: Lowering, node: ir.Node, direction: int, batch: int) -> tuple[Tensor, ...]:
    """Hidden (and cell) state before the first step, [batch, hidden]; zeros where none is given."""
    recurrence = constant_input(node, 2)
    assert recurrence is not None
    hidden = recurrence.shape[-1]
    states = []
    for index in (_HIDDEN, _CELL) if node.op_type == "LSTM" else (_HIDDEN,):
        value, known = input_of(node, index), constant_input(node, index)
        name, axis = f"{node.name}/state", 1 if int_of(node, "layout", 0) else 0
        if known is not None:
            states.append(Tensor.constant(low.name(name), known.take(direction, axis).astype(np.float32)))
        elif value is None:
            states.append(Tensor.constant(low.name(name), np.zeros((batch, hidden), np.float32)))
        else:
            tensor = low.read(value)
            begin, end = [0, 0, 0], list(tensor.shape)
            begin[axis], end[axis] = direction, direction + 1
            part = cut(low, tensor, begin, end, [1, 1, 1], name)
            states.append(low.reshape(part, (batch, hidden), f"{name}/2d"))
    return tuple(states)


def _masks(low: Lowering, f: Formula, node: ir.Node, source: Tensor) -> list[Tensor | None]:
    """By step, which sequences still run: [batch, 1] of bool, or None where all do."""
    steps, batch = source.shape[:2]
    lengths, computed = constant_input(node, _LENGTHS), input_of(node, _LENGTHS)
    if lengths is not None:
        return [
            None if (lengths > step).all() else f.constant((lengths > step).reshape(batch, 1), np.bool_)
            for step in range(steps)
        ]
    if computed is None:
        return [None] * steps
    column = low.reshape(low.read(computed), (batch, 1), f"{f.name}/lengths")
    return [f("GREATER", column, step) for step in range(steps)]


def _written_out(
    low: Lowering, f: Formula, node: ir.Node, source: Tensor, direction: int, backward: bool
) -> _Run:
    """One direction over [steps, batch, features], step after step."""
    cell, states = _cell(low, f, node, direction), _initial(low, node, direction, source.shape[1])
    masks = _masks(low, f, node, source)
    steps, batch, features = source.shape
    flat = low.reshape(source, (steps * batch, features), f"{f.name}/all_steps")
    products = _rows(low, f, cell.inputs(flat), steps)
    zeros = f.constant(np.zeros((batch, cell.weights.hidden)), np.float32)
    outputs: list[Tensor] = [zeros] * steps
    for step in reversed(range(steps)) if backward else range(steps):
        mask = masks[step]
        after = cell.step(products[step], states)
        if mask is not None:
            outputs[step] = f.where(mask, after[0], zeros)
            after = tuple(f.where(mask, new, old) for new, old in zip(after, states, strict=True))
        else:
            outputs[step] = after[0]
        states = after
    return _Run(outputs, states)


def _looped(low: Lowering, f: Formula, node: ir.Node, source: Tensor, direction: int, backward: bool) -> _Run:
    """The same as a loop."""
    steps, batch, features = source.shape
    flat = low.reshape(source, (steps * batch, features), f"{f.name}/all_steps")
    lengths, computed = constant_input(node, _LENGTHS), input_of(node, _LENGTHS)
    column = None
    if lengths is not None and (lengths < steps).any():
        column = f.constant(lengths.reshape(batch, 1), np.int32)
    elif computed is not None and lengths is None:
        column = low.reshape(low.read(computed), (batch, 1), f"{f.name}/lengths")
    sequence = node.outputs[0]
    wanted = bool(sequence.name and (sequence.uses() or sequence.is_graph_output()))
    products = _cell(low, f, node, direction).inputs(flat)
    name = f"{f.name}/{'backward' if backward else 'forward'}"
    run = Steps(products, steps, column, backward, wanted)
    states = _initial(low, node, direction, batch)
    return _Run(*run_loop(low, name, run, lambda inner: _cell(inner.low, inner, node, direction), states))


def _rows(low: Lowering, f: Formula, tensor: Tensor, parts: int) -> list[Tensor]:
    """A tensor's rows in equal parts."""
    if parts == 1:
        return [tensor]
    axis = Tensor.constant(low.name(f"{f.name}/axis"), np.array(0, np.int32))
    shape = (tensor.shape[0] // parts, *tensor.shape[1:])
    return low.emit_many(
        "SPLIT", [axis, tensor], [shape] * parts, f"{f.name}/steps", options={"numSplits": parts}
    )


def _bind_sequence(low: Lowering, f: Formula, node: ir.Node, runs: list[_Run], batch_first: bool) -> None:
    """Y: [steps, directions, batch, hidden], or [batch, steps, directions, hidden]."""
    output = node.outputs[0]
    if not output.name or not (output.uses() or output.is_graph_output()):
        return
    batch, hidden = runs[0].states[0].shape
    listed = [run.steps for run in runs if isinstance(run.steps, list)]
    if listed:
        steps = len(listed[0])
        parts = [state for step in range(steps) for state in (each[step] for each in listed)]
        rows = _joined(low, parts, f"{f.name}/sequence")
        tensor = low.reshape(rows, (steps, len(runs), batch, hidden), f"{f.name}/directions")
    else:
        tensor = _side_by_side(low, [run.steps for run in runs if isinstance(run.steps, Tensor)], f.name)
    layout = (1, 2, 0, 3) if batch_first else (0, 1, 2, 3)
    low.bind(output, tensor, layout)


def _side_by_side(low: Lowering, sequences: list[Tensor], name: str) -> Tensor:
    """[steps, batch, hidden] of each direction as [steps, directions, batch, hidden]."""
    steps, batch, hidden = sequences[0].shape
    wide = [low.reshape(each, (steps, 1, batch, hidden), f"{name}/direction") for each in sequences]
    if len(wide) == 1:
        return wide[0]
    shape = (steps, len(wide), batch, hidden)
    return low.emit("CONCATENATION", wide, shape, f"{name}/directions", options={"axis": 1})


def _bind_state(low: Lowering, f: Formula, output: ir.Value, states: list[Tensor], batch_first: bool) -> None:
    """Y_h or Y_c: [directions, batch, hidden], or [batch, directions, hidden]."""
    tensor = _joined(low, states, f"{f.name}/last")
    stacked = low.reshape(tensor, (len(states), *states[0].shape), f"{f.name}/states")
    low.bind(output, stacked, (1, 0, 2) if batch_first else (0, 1, 2))


def _joined(low: Lowering, parts: list[Tensor], name: str) -> Tensor:
    if len(parts) == 1:
        return parts[0]
    shape = (sum(part.shape[0] for part in parts), *parts[0].shape[1:])
    return low.emit("CONCATENATION", parts, shape, name, dtype=np.float32, options={"axis": 0})
