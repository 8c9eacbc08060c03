"""A foreign TFLite file is run once in a process of its own: a broken one can end the process that runs it.

The trial also tells the shape of every tensor, which files with open dimensions or computed shapes do not say.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgewise.child_limits import ChildLimits
from edgewise.child_process import run_in_child
from edgewise.errors import ModelCrashed
from edgewise_converters.errors import SourceError

_LIMITS = ChildLimits(seconds=300, memory_bytes=8 << 30)
"""More than any network for these boards takes; a damaged size would take all there is."""


def try_file(path: Path, shapes: Mapping[int, tuple[int, ...]] | None = None) -> dict[int, tuple[int, ...]]:
    """Run the file once on random inputs; returns the shape of every tensor of its main subgraph, by index.

    ``shapes`` are those of inputs, by index of tensor, where they are not the file's own. Raises SourceError when
    LiteRT cannot run it, hangs or dies.
    """
    order = {"path": str(path), "shapes": list((shapes or {}).items())}
    try:
        answer = run_in_child(f"{__name__}:invoke_twice", order, limits=_LIMITS, what=f"{path}: LiteRT")
    except ModelCrashed as error:
        raise SourceError(str(error)) from error
    if "error" in answer:
        raise SourceError(f"{path}: LiteRT cannot run it: {answer['error']}")
    return {index: tuple(shape) for index, shape in answer["shapes"]}


def invoke_twice(order: dict[str, Any], limit_memory: Callable[[], None]) -> dict[str, Any]:
    """The child's job: the shapes, or what LiteRT says against the file."""
    import ai_edge_litert.interpreter  # noqa: F401  # before the limit: what it takes is not the file's

    limit_memory()
    wanted = {index: tuple(shape) for index, shape in order["shapes"]}
    try:
        _invoke(order["path"], wanted, plain=False)
        return {"shapes": list(_invoke(order["path"], wanted, plain=True).items())}
    except (RuntimeError, ValueError) as error:
        return {"error": (str(error).strip().splitlines() or [type(error).__name__])[0]}


def _invoke(path: str, shapes: Mapping[int, tuple[int, ...]], *, plain: bool) -> dict[int, list[int]]:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kernels = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES if plain else OpResolverType.AUTO
    interpreter: Any = Interpreter(
        path, num_threads=1, experimental_op_resolver_type=kernels, experimental_preserve_all_tensors=plain
    )
    for index, shape in shapes.items():
        interpreter.resize_tensor_input(index, shape)
    interpreter.allocate_tensors()
    rng = np.random.default_rng(0)
    for detail in interpreter.get_input_details():
        noise = rng.random(tuple(detail["shape"]))
        interpreter.set_tensor(detail["index"], (noise * 2).astype(detail["dtype"]))
    interpreter.invoke()
    return {int(d["index"]): [int(dim) for dim in d["shape"]] for d in interpreter.get_tensor_details()}
