"""If and Loop that were not written out: IF and WHILE around graphs of their own."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from edgewise_converters.lower.control import copied, enclosed, repeat_while, written
from edgewise_converters.lower.formula import Formula
from edgewise_converters.lower.graph import lower_nodes
from edgewise_converters.lower.lowering import Lowering, lowers
from edgewise_converters.passes.enclose import LoopBody, branches_of, loop_of
from edgewise_converters.tflite.graph import Operator, Tensor


@lowers("If")
def lower_if(low: Lowering, node: ir.Node) -> None:
    """IF: the branch that is not taken is not computed."""
    condition, *outer = [low.read(value) for value in node.inputs if value is not None]
    branches, name = branches_of(node), str(node.name)
    then, otherwise = (
        enclosed(
            low,
            f"{name}/{kind}",
            outer,
            lambda inner, given, model=model: _computed(inner, model, given),  # type: ignore[misc]  # mypy types no lambda with a default
        )
        for kind, model in (("then", branches.then), ("else", branches.otherwise))
    )
    results = [Tensor(low.name(t.name), t.shape, t.dtype) for t in then.outputs]
    options = {"thenSubgraphIndex": then, "elseSubgraphIndex": otherwise}
    low.graph.operators.append(Operator("IF", [condition, *outer], results, dict(options)))
    for output, result in zip(node.outputs, results, strict=True):
        low.bind(output, result)


@lowers("Loop")
def lower_loop(low: Lowering, node: ir.Node) -> None:
    """WHILE; what is collected is written into a tensor that goes round with the states."""
    loop, name = loop_of(node), str(node.name)
    f = Formula(low, name)
    states = [low.read(value) for value in node.inputs[2 : 2 + loop.states] if value is not None]
    outer = [low.read(value) for value in node.inputs[2 + loop.states :] if value is not None]
    buffers = [
        f.constant(np.zeros(low.shape(output)), _stored_dtype(output))
        for output in node.outputs[loop.states :]
    ]
    control = _control(low, f, node, loop)
    goes, split = len(control), len(control) + loop.states
    limited, conditional = _needs(node, loop)

    def goes_on(inner: Lowering, now: list[Tensor]) -> Tensor:
        g = Formula(inner, f"{name}/condition")
        holds = now[goes - 1] if conditional else None
        if not limited and loop.rounds is None:
            assert holds is not None
            return copied(inner, holds, f"{name}/holds")
        below = g("LESS", now[0], now[1] if limited else _known(loop))
        return below if holds is None else g("LOGICAL_AND", below, holds)

    def step(inner: Lowering, now: list[Tensor]) -> list[Tensor]:
        g = Formula(inner, f"{name}/body")
        own, filled, read = now[goes:split], now[split : split + len(buffers)], now[split + len(buffers) :]
        holds = now[goes - 1] if conditional else g.constant(True, np.bool_)
        condition, *after = _computed(inner, loop.body, [g.cast(now[0], np.int64), holds, *own, *read])
        rows = after[loop.states :]
        kept = [
            written(inner, f"{name}/collected", buffer, now[0], row)
            for buffer, row in zip(filled, rows, strict=True)
        ]
        following = [g("ADD", now[0], 1), *now[1 : 1 + limited], *([condition] if conditional else [])]
        return [*following, *after[: loop.states], *kept, *read]

    results = repeat_while(low, name, [*control, *states, *buffers, *outer], goes_on, step)
    for output, result in zip(node.outputs, results[goes:], strict=False):
        low.bind(output, result)


def _known(loop: LoopBody) -> int:
    assert loop.rounds is not None
    return loop.rounds


def _needs(node: ir.Node, loop: LoopBody) -> tuple[bool, bool]:
    """Whether the limit of rounds and the condition go round with the states."""
    return node.inputs[0] is not None and loop.rounds is None, loop.rounds is None and (
        not loop.stays_true or node.inputs[1] is not None
    )


def _control(low: Lowering, f: Formula, node: ir.Node, loop: LoopBody) -> list[Tensor]:
    """The number of the round, the limit where it is computed, and the condition where it may change."""
    limited, conditional = _needs(node, loop)
    control = [f.constant(0, np.int32)]
    if limited and node.inputs[0] is not None:
        control.append(low.reshape(f.cast(low.read(node.inputs[0]), np.int32), (), f"{f.name}/limit"))
    if conditional:
        start = node.inputs[1]
        holds = f.constant(True, np.bool_) if start is None else low.read(start)
        control.append(low.reshape(holds, (), f"{f.name}/start"))
    return control


def _stored_dtype(value: ir.Value) -> np.dtype[np.generic]:
    dtype = np.dtype(np.float32 if value.dtype is None else value.dtype.numpy())
    return np.dtype(np.float32) if dtype == np.float64 else dtype


def _computed(inner: Lowering, model: ir.Model, given: Sequence[Tensor]) -> list[Tensor]:
    """The outputs of a body's model, lowered in the order of ONNX's axes."""
    for value, tensor in zip(model.graph.inputs, given, strict=True):
        inner.bind(value, tensor)
    lower_nodes(inner, model)
    return [inner.read(value) for value in model.graph.outputs]
