"""A foreign TFLite file is run once in a process of its own: a broken one can end the process that runs it.

The trial also tells the shape of every tensor, which files with open dimensions or computed shapes do not say.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgewise_converters.errors import SourceError

_LIMIT_S = 300
_LIMIT_BYTES = 8 << 30
"""Of address space: more than any network for these boards takes; a damaged size would take all there is."""


def try_file(path: Path, shapes: Mapping[int, tuple[int, ...]] | None = None) -> dict[int, tuple[int, ...]]:
    """Run the file once on random inputs; returns the shape of every tensor of its main subgraph, by index.

    ``shapes`` are those of inputs, by index of tensor, where they are not the file's own. Raises SourceError when
    LiteRT cannot run it, hangs or dies.
    """
    command = [sys.executable, "-m", __spec__.name, str(path), json.dumps(dict(shapes or {}))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise SourceError(f"{path}: LiteRT does not finish running it within {_LIMIT_S} s") from None
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        raise SourceError(f"{path}: damaged: LiteRT {_ending(done.returncode)} when it runs it") from None
    if "error" in answer:
        raise SourceError(f"{path}: LiteRT cannot run it: {answer['error']}")
    return {int(index): tuple(shape) for index, shape in answer["shapes"].items()}


def _ending(code: int) -> str:
    if code >= 0:
        return f"ends with code {code}"
    return f"dies of {signal.Signals(-code).name}"


def main(path: str, shapes: str) -> None:
    """The child: prints {"shapes": ...} or {"error": ...} as its last line."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (_LIMIT_BYTES, _LIMIT_BYTES))
    wanted = {int(index): tuple(shape) for index, shape in json.loads(shapes).items()}
    try:
        _invoke(path, wanted, plain=False)
        found = _invoke(path, wanted, plain=True)
    except (RuntimeError, ValueError, MemoryError) as error:
        text = (str(error).strip().splitlines() or [type(error).__name__])[0]
        print(json.dumps({"error": text}))  # noqa: T201
        return
    print(json.dumps({"shapes": found}))  # noqa: T201


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


if __name__ == "__main__":
    main(*sys.argv[1:])
