"""Converters under ONNX's one-operator tests: a model's file in, something that answers as the model would out."""

import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Answer = dict[str, Array]
MOST_READINGS = 16
"""Orders of axes tried for all inputs together, where shapes leave it open which is meant."""


class Refused(Exception):
    """The converter says that it cannot, and why."""


class Reading(Protocol):
    """One way to feed a converted model and to read what it answers."""

    def answer(self, feeds: Mapping[str, Array]) -> Answer:
        """Outputs by name, in the original's order of axes, of one more call of the same interpreter."""
        ...


class Engine(Protocol):
    """One converter."""

    def convert(
        self, path: Path, feeds: Mapping[str, Array], expected: Mapping[str, Array]
    ) -> Iterator[Reading]:
        """The ways to read the converted model; the right one is not known beforehand. Raises Refused."""
        ...


class Edgewise:
    """This project's own lowering: it says how the axes lie."""

    def convert(
        self, path: Path, feeds: Mapping[str, Array], expected: Mapping[str, Array]
    ) -> Iterator[Reading]:
        from edgewise_converters.errors import ConversionError
        from edgewise_converters.lower import lower_graph
        from edgewise_converters.passes import canonicalize
        from edgewise_converters.readers import read_onnx
        from edgewise_converters.tflite.writer import serialize
        from edgewise_converters.verify import Layouts, check_operators, open_runtime, run_case, to_stored

        try:
            _, canonical = read_onnx(path)
            canonicalize(canonical)
            lowered = lower_graph(canonical)
            network = serialize(lowered.graph, description="", metadata={})
            check_operators(network)
        except ConversionError as error:
            raise Refused(str(error)) from error
        layouts = Layouts(lowered.input_layouts, lowered.output_layouts)
        backend = open_runtime(network, "litert")

        class Known:
            def answer(self, feeds: Mapping[str, Array]) -> Answer:
                return run_case(backend, to_stored(backend, dict(feeds), layouts), layouts)

        yield Known()


class Onnx2tf:
    """onnx2tf in its own environment; it does not say how the axes lie, so every way that fits is tried."""

    def __init__(self, way: str) -> None:
        """``way`` is simplified, its default, or plain."""
        self._way = way
        sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
        from peers import ONNX2TF_DIRECT  # which finds the environments in the folder above

        command = ONNX2TF_DIRECT.install()
        server = Path(__file__).with_name("onnx2tf_fork_server.py")
        # It looks for an `onnxsim` on PATH: it must be the one of its own environment.
        self._server = subprocess.Popen(
            [command.with_name("python"), server],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                "PATH": f"{command.parent}:/usr/bin:/bin",
                "OMP_NUM_THREADS": "1",
                "TF_CPP_MIN_LOG_LEVEL": "3",
            },
        )

    def convert(
        self, path: Path, feeds: Mapping[str, Array], expected: Mapping[str, Array]
    ) -> Iterator[Reading]:
        with tempfile.TemporaryDirectory() as out:
            copy = Path(out) / "model.onnx"  # it overwrites its input
            copy.write_bytes(path.read_bytes())
            assert self._server.stdin is not None and self._server.stdout is not None
            self._server.stdin.write(f"{copy} {out}/out {self._way}\n")
            self._server.stdin.flush()
            said = json.loads(self._server.stdout.readline())
            if said["reason"]:
                raise Refused(said["reason"])
            if not said["file"]:
                raise RuntimeError("exit status 0, but no file")
            network = Path(said["file"]).read_bytes()
        turns = [_input_turns(feeds, details) for details in _open(network).get_input_details()]
        if not all(turns):
            raise ValueError("an input of the file has another size than the original's")
        for chosen in itertools.islice(itertools.product(*turns), MOST_READINGS):
            yield _TurnedAxes(network, chosen, expected)


class _TurnedAxes:
    """A TFLite file whose inputs are fed in given orders of axes; the order of an output is the nearest one."""

    def __init__(
        self, network: bytes, inputs: Sequence[tuple[str, tuple[int, ...]]], expected: Mapping[str, Array]
    ) -> None:
        self._interpreter = _open(network)
        self._inputs, self._expected = inputs, expected
        self._outputs: dict[str, tuple[int, tuple[int, ...]]] = {}

    def answer(self, feeds: Mapping[str, Array]) -> Answer:
        for details, (name, turn) in zip(self._interpreter.get_input_details(), self._inputs, strict=True):
            array = feeds[name].transpose(turn).astype(details["dtype"]).reshape(details["shape"])
            self._interpreter.set_tensor(details["index"], np.ascontiguousarray(array))
        self._interpreter.invoke()
        answers = [self._interpreter.get_tensor(d["index"]) for d in self._interpreter.get_output_details()]
        self._outputs = self._outputs or {
            name: _nearest(answers, want) for name, want in self._expected.items()
        }
        return {
            name: answers[i]
            .transpose(turn)
            .astype(self._expected[name].dtype)
            .reshape(self._expected[name].shape)
            for name, (i, turn) in self._outputs.items()
        }


def _open(network: bytes) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=network, num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


def _input_turns(feeds: Mapping[str, Array], details: Mapping[str, Any]) -> list[tuple[str, tuple[int, ...]]]:
    """Which feed this input of the file is, and in which orders of axes it may be meant."""
    said = details["name"].removeprefix("serving_default_").split(":")[0]
    names = [said] if said in feeds else list(feeds)
    found = []
    for name in names:
        rank = feeds[name].ndim
        usual = [tuple(range(rank)), *([(0, *range(2, rank), 1)] if rank > 2 else [])]
        shape = feeds[name].shape
        found += [(name, turn) for turn in usual if _alike([shape[a] for a in turn], details["shape"])]
    return found


def _alike(shape: Sequence[int], other: Sequence[int]) -> bool:
    """Whether shapes are the same but for axes of length one."""
    return [size for size in shape if size != 1] == [size for size in other if size != 1]


def _nearest(answers: Sequence[Array], want: Array) -> tuple[int, tuple[int, ...]]:
    """Which output of the file is meant, and in which order of axes: the one with the smallest difference."""
    candidates = []
    for i, got in enumerate(answers):
        for turn in itertools.permutations(range(got.ndim)) if got.ndim <= 6 else [tuple(range(got.ndim))]:
            turned = got.transpose(turn)
            if _alike(turned.shape, want.shape):
                turned = turned.reshape(want.shape)
                difference = np.nan_to_num(turned.astype(np.float64) - want.astype(np.float64), nan=0.0)
                candidates.append((float(np.abs(difference).sum()), i, turn))
    if not candidates:
        shapes = ", ".join(str(answer.shape) for answer in answers)
        raise ValueError(f"outputs have the shapes {shapes}, expected {want.shape} in some order of axes")
    _, i, turn = min(candidates)
    return i, turn


WAYS = {"edgewise": ("edgewise",), "onnx2tf": ("plain", "simplified")}
"""By engine, the ways in which it converts, the cheapest first."""


def open_engine(way: str) -> Engine:
    """The engine that converts in this way."""
    return Edgewise() if way == "edgewise" else Onnx2tf(way)
