"""WHILE and IF: graphs inside a graph, which see nothing of it but what they are given."""

from collections.abc import Callable, Sequence

import numpy as np

from edgewise_converters.lower.lowering import Lowering
from edgewise_converters.lower.peephole import tidy
from edgewise_converters.tflite.graph import Graph, Operator, Tensor

Body = Callable[[Lowering, list[Tensor]], list[Tensor]]
"""What a graph makes of what it is given: emitted into the lowering it gets."""


def enclosed(low: Lowering, name: str, given: Sequence[Tensor], body: Body) -> Graph:
    """A graph of its own that takes tensors like ``given`` and makes of them what ``body`` says."""
    inner = Lowering(name, opset=low.opset)
    inner.graph.inputs = [
        Tensor(inner.name(f"{name}/{number}"), t.shape, t.dtype) for number, t in enumerate(given)
    ]
    results = body(inner, list(inner.graph.inputs))
    taken: set[int] = set()
    for place, result in enumerate(results):
        entry = inner.graph.inputs[place] if place < len(inner.graph.inputs) else None
        foreign = result is not entry and any(result is tensor for tensor in inner.graph.inputs)
        if result.is_constant or foreign or id(result) in taken:
            # Who copies the results back must find each in a tensor of its own.
            result = copied(inner, result, f"{name}/copy")
        taken.add(id(result))
        inner.graph.outputs.append(result)
    tidy(inner.graph)
    return inner.graph


def copied(low: Lowering, tensor: Tensor, name: str) -> Tensor:
    """The same elements in another tensor: a reshape to the same shape."""
    shape = low.ints(tensor.shape, f"{name}/shape")
    return low.emit("RESHAPE", [tensor, shape], tensor.shape, name, options={"newShape": tensor.shape})


def repeat_while(
    low: Lowering,
    name: str,
    states: Sequence[Tensor],
    condition: Callable[[Lowering, list[Tensor]], Tensor],
    body: Body,
) -> list[Tensor]:
    """The states when ``condition`` of them no longer holds, ``body`` having changed them each time it did."""
    cond = enclosed(low, f"{name}/condition", states, lambda inner, given: [condition(inner, given)])
    step = enclosed(low, f"{name}/body", states, body)
    results = [Tensor(low.name(f"{name}/{number}"), t.shape, t.dtype) for number, t in enumerate(states)]
    options = {"condSubgraphIndex": cond, "bodySubgraphIndex": step}
    low.graph.operators.append(Operator("WHILE", list(states), results, dict(options)))
    return results


def repeat(
    low: Lowering,
    name: str,
    rounds: int | Tensor,
    states: Sequence[Tensor],
    given: Sequence[Tensor],
    body: Callable[[Lowering, Tensor, list[Tensor], list[Tensor]], list[Tensor]],
) -> list[Tensor]:
    """The states after ``rounds`` times ``body(inner, number of the round, states, given)``.

    ``given`` is what the body reads besides; a number of rounds that is computed is an int32 scalar.
    """
    count = Tensor.constant(low.name(f"{name}/round"), np.array(0, np.int32))
    limit = [rounds] if isinstance(rounds, Tensor) else []
    split = 1 + len(limit)

    def goes_on(inner: Lowering, now: list[Tensor]) -> Tensor:
        last = now[1] if limit else inner.ints(rounds, f"{name}/rounds")  # type: ignore[arg-type]  # rounds is a number where there is no limit
        return inner.emit("LESS", [now[0], last], (), f"{name}/goes_on", dtype=np.bool_)

    def step(inner: Lowering, now: list[Tensor]) -> list[Tensor]:
        own, read = now[split : split + len(states)], now[split + len(states) :]
        after = body(inner, now[0], own, read)
        following = inner.emit("ADD", [now[0], inner.ints(1, f"{name}/one")], (), f"{name}/following")
        return [following, *now[1:split], *after, *read]

    results = repeat_while(low, name, [count, *limit, *states, *given], goes_on, step)
    return results[split : split + len(states)]


def written(low: Lowering, name: str, buffer: Tensor, index: Tensor, row: Tensor) -> Tensor:
    """``buffer`` with ``row`` at ``index`` of its first axis."""
    wide = low.reshape(row, (1, *buffer.shape[1:]), f"{name}/row")
    where = low.reshape(index, (1,), f"{name}/index")
    rest = low.ints([0] * (len(buffer.shape) - 1), f"{name}/zeros")
    start = low.emit(
        "CONCATENATION",
        [where, rest],
        (len(buffer.shape),),
        f"{name}/start",
        dtype=np.int32,
        options={"axis": 0},
    )
    return low.emit("DYNAMIC_UPDATE_SLICE", [buffer, wide, start], buffer.shape, f"{name}/written")


def read_row(low: Lowering, name: str, source: Tensor, index: Tensor) -> Tensor:
    """The entry of ``source`` at a computed ``index`` of its first axis, without that axis."""
    return low.emit("GATHER", [source, index], source.shape[1:], f"{name}/row", options={"axis": 0})
