"""A case is one line of ONNX text and its shapes; it runs in onnxruntime and in both TFLite runtimes.

Names that begin with x are inputs, names that begin with y are outputs, all others are constants. A tuple is a
shape of seeded random float32; an array is taken as it is.
"""

from dataclasses import dataclass

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import onnxruntime

from edgewise.backends import open_backend
from edgewise.tensors import Array
from edgewise_converters.agreement import Meter
from edgewise_converters.errors import UnsupportedOperator
from edgewise_converters.lower import LoweredGraph, lower_graph
from edgewise_converters.passes import canonicalize
from edgewise_converters.tflite.writer import serialize
from edgewise_converters.verify import Layouts, run_case, to_stored

RUNTIMES = ("litert", "tflite-runtime")
FLOAT32_DB = 100.0
"""What float32 rounding in another order of summation leaves of one small operator (facts: 100 to 135 dB)."""
_CONSECUTIVE = 2
_IR_VERSIONS = {7: 3, 8: 3, 9: 4, 10: 5, 11: 6, 12: 7, 13: 7, 14: 7}


@dataclass(frozen=True)
class Case:
    """One small graph."""

    body: str
    values: dict[str, object]
    opset: int = 17
    positive: bool = False
    at_least_db: float = FLOAT32_DB


def case(
    body: str, *, opset: int = 17, positive: bool = False, at_least_db: float = FLOAT32_DB, **values: object
) -> Case:
    """A case whose ``values`` are its inputs (x...) and constants, tuples being shapes."""
    return Case(body, values, opset, positive, at_least_db)


def model_of(this: Case) -> onnx.ModelProto:
    """The ONNX model of a case."""
    rng = np.random.default_rng(7)
    constants = {n: _array(v, rng, this.positive) for n, v in this.values.items() if not n.startswith("x")}
    inputs = {n: _array(v, rng, this.positive) for n, v in this.values.items() if n.startswith("x")}
    entries = ", ".join(f"{_type(array)} {name}" for name, array in inputs.items())
    version = _IR_VERSIONS.get(this.opset, 8)
    outputs = ", ".join(_outputs(this.body))
    text = (
        f'<ir_version: {version}, opset_import: ["": {this.opset}]>\n'
        f"net ({entries}) => ({outputs}) {{ {this.body} }}"
    )
    model = onnx.parser.parse_model(text)
    for name, array in constants.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return model


def feeds_of(this: Case, count: int = _CONSECUTIVE) -> list[dict[str, Array]]:
    """Consecutive inputs: the given arrays, or seeded random ones."""
    feeds = []
    for seed in range(count):
        rng = np.random.default_rng(100 + seed)
        feeds.append({n: _array(v, rng, this.positive) for n, v in this.values.items() if n.startswith("x")})
    return feeds


def lowered(model: onnx.ModelProto) -> LoweredGraph:
    """Canonical and lowered, as the converter does it."""
    graph = ir.from_proto(model)
    canonicalize(graph)
    return lower_graph(graph)


def network_of(low: LoweredGraph) -> bytes:
    """The bytes of a lowered graph."""
    return serialize(low.graph, description="test", metadata={})


def kinds(low: LoweredGraph) -> list[str]:
    """The operators of a lowered graph, in order."""
    return [operator.kind for operator in low.graph.operators]


def ask_onnxruntime(model: onnx.ModelProto, feed: dict[str, Array]) -> dict[str, Array]:
    """The truth."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(
        model.SerializeToString(),
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=["QDQS8ToU8Transformer"],
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, feed), strict=True))


def agreement_db(
    model: onnx.ModelProto, low: LoweredGraph, network: bytes, feeds: list[dict[str, Array]], runtime: str
) -> float:
    """The worst output of ``network`` against onnxruntime, over consecutive inputs."""
    layouts = Layouts(low.input_layouts, low.output_layouts)
    meter = Meter()
    backend = open_backend(network, "tflite", name=runtime, threads=1)
    for feed in feeds:
        expected = ask_onnxruntime(model, feed)
        actual = run_case(backend, to_stored(backend, feed, layouts), layouts)
        for name, want in expected.items():
            assert actual[name].shape == want.shape, f"{name}: {actual[name].shape}, expected {want.shape}"
        meter.add(expected, actual)
    backend.close()
    return meter.result().worst_db


def check(this: Case) -> LoweredGraph:
    """Convert a case and hold it against onnxruntime in both runtimes; the lowered graph for further questions."""
    model = model_of(this)
    low = lowered(model)
    network = network_of(low)
    for runtime in RUNTIMES:
        decibel = agreement_db(model, low, network, feeds_of(this), runtime)
        assert decibel >= this.at_least_db, f"{decibel:.1f} dB in {runtime}; operators: {kinds(low)}"
    names = [tensor.name for tensor in low.graph.tensors()]
    assert len(names) == len(set(names)), f"two tensors share a name: {sorted(names)}"
    return low


def check_or_refused(this: Case, operator: str) -> None:
    """Right, or refused by name: what is hard to say in TFLite is never converted to something else."""
    try:
        check(this)
    except UnsupportedOperator as error:
        assert f"operator {operator} " in str(error)


def _array(value: object, rng: np.random.Generator, positive: bool) -> Array:
    if isinstance(value, tuple):
        array = rng.standard_normal(value).astype(np.float32)
        return np.abs(array) + np.float32(0.1) if positive else array
    return np.asarray(value)


def _type(array: Array) -> str:
    kind = {"float32": "float", "bool": "bool"}.get(array.dtype.name, array.dtype.name)
    shape = ",".join(map(str, array.shape))
    return f"{kind}[{shape}]" if array.shape else kind


def _outputs(body: str) -> list[str]:
    words = body.replace(",", " ").replace("(", " ").replace(")", " ").split()
    return [word for word in dict.fromkeys(words) if word.startswith("y")]
