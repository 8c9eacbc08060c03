"""The operators of a TensorFlow Lite Interpreter, and which delegate took which of them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from edgewise.backends.base import first_line
from edgewise.errors import BackendUnavailable
from edgewise.placement import PlacedOperator

DELEGATE = "DELEGATE"
"""How the interpreter names the node that stands for a part that a delegate took over."""
XNNPACK, BUILT_IN = "XNNPACK", "built-in"


def details_of(interpreter: Any) -> list[dict[str, Any]]:
    """Every node that it has, those that delegates added last. Raises BackendUnavailable."""
    try:
        details: list[dict[str, Any]] = interpreter._get_ops_details()
    except (AttributeError, RuntimeError, ValueError) as error:
        raise BackendUnavailable(
            f"the interpreter does not tell its operators: {first_line(error)}"
        ) from error
    return details


def delegated_nodes(interpreter: Any) -> frozenset[int]:
    """The nodes that stand for delegates' parts. Before tensors are allocated these are not XNNPACK's."""
    details = details_of(interpreter)
    return frozenset(int(detail["index"]) for detail in details if detail["op_name"] == DELEGATE)


def placed_operators(interpreter: Any, taken: Collection[int], delegate: str) -> tuple[PlacedOperator, ...]:
    """The operators of the file; ``taken`` are the nodes that stand for parts of this delegate."""
    details = details_of(interpreter)
    names = {int(tensor["index"]): tensor["name"] for tensor in interpreter.get_tensor_details()}
    parts = parts_of(details)
    operators = []
    for detail in details:
        if detail["op_name"] == DELEGATE:
            continue
        part = parts.get(int(detail["index"]))
        where = BUILT_IN if part is None else delegate if part in taken else XNNPACK
        name = names.get(int(detail["outputs"][0]), "") if len(detail["outputs"]) else ""
        operators.append(PlacedOperator(str(detail["op_name"]), name, where, part))
    return tuple(operators)


def parts_of(details: Sequence[Mapping[str, Any]]) -> dict[int, int]:
    """Operator to the delegate's part it is in, by following each part from its outputs back to its inputs."""
    makers = {
        int(tensor): detail
        for detail in details
        if detail["op_name"] != DELEGATE
        for tensor in detail["outputs"]
    }
    parts: dict[int, int] = {}
    for part in (detail for detail in details if detail["op_name"] == DELEGATE):
        given = set(map(int, part["inputs"]))
        wanted = list(map(int, part["outputs"]))
        while wanted:
            tensor = wanted.pop()
            maker = makers.get(tensor)
            if tensor in given or maker is None or int(maker["index"]) in parts:
                continue
            parts[int(maker["index"])] = int(part["index"])
            wanted += map(int, maker["inputs"])
    return parts
