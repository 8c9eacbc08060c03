"""The operators of a .tflite file as LiteRT prepared them, and which of them XNNPACK took."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewise.backends import litert
from edgewise.backends.base import first_line
from edgewise.backends.interpreter_nodes import DELEGATE, parts_of
from edgewise.backends.quiet import without_chatter
from edgewise.errors import BackendUnavailable


@dataclass(frozen=True)
class LitertNode:
    """One operator of the file's main graph, as the interpreter prepared it."""

    index: int
    kind: str
    output: str
    shape: tuple[int, ...]
    part: int | None
    """Which of the parts that XNNPACK took over it belongs to; None when it runs in a built-in kernel."""


def read_nodes(path: Path, *, threads: int) -> list[LitertNode]:
    """The operators of the main graph, and which of them XNNPACK took. Raises BackendUnavailable."""
    with without_chatter():
        try:
            interpreter = litert.library().Interpreter(str(path), num_threads=threads)
            interpreter.allocate_tensors()
            details = interpreter._get_ops_details()
            tensors = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
        except (AttributeError, RuntimeError, ValueError) as error:
            raise BackendUnavailable(
                f"litert: it does not tell its operators: {first_line(error)}"
            ) from error
    parts = parts_of(details)
    return [
        _node(detail, tensors, parts.get(int(detail["index"])))
        for detail in details
        if detail["op_name"] != DELEGATE
    ]


def _node(detail: Mapping[str, Any], tensors: Mapping[int, Any], part: int | None) -> LitertNode:
    output = tensors.get(int(detail["outputs"][0])) if len(detail["outputs"]) else None
    shape = tuple(map(int, output["shape"])) if output else ()
    return LitertNode(
        int(detail["index"]), str(detail["op_name"]), output["name"] if output else "", shape, part
    )
