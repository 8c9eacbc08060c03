"""What onnxruntime's optimiser fuses converts as what it was, in both runtimes, against onnxruntime itself."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from converters.onnx_cases import (
    FLOAT32_DB,
    RUNTIMES,
    agreement_db,
    case,
    kinds,
    lowered,
    model_of,
    network_of,
)  # fmt: skip
from onnx import helper

Shapes = dict[str, tuple[int, ...]]
IMAGE: Shapes = {"x": (1, 3, 8, 8)}
KERNEL: Shapes = {"w": (4, 3, 3, 3), "b": (4,)}
WINDOW = {"pads": [1, 1, 1, 1], "kernel_shape": [3, 3]}
TOKENS: Shapes = {"x": (2, 3, 8), "x2": (2, 3, 8)}


def fused(
    op_type: str, names: str, inputs: Shapes, constants: Shapes, results: str = "y", **attributes: object
) -> onnx.ModelProto:
    """A model of one operator of onnxruntime's own; its outputs are shaped by whoever reads it."""
    opset = attributes.pop("opset", 17)
    outputs = [name.strip("-") for name in results.split(" ")]
    node = helper.make_node(op_type, names.split(" "), outputs, domain="com.microsoft", **attributes)
    rng = np.random.default_rng(1)
    graph = helper.make_graph(
        [node],
        "net",
        [
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
            for name, shape in inputs.items()
        ],
        [onnx.ValueInfoProto(name=name) for name in outputs if name],
        [
            onnx.numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name)
            for name, shape in constants.items()
        ],
    )
    for value in graph.output:
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


MODELS = {
    f"convolution and {name}": fused("FusedConv", "x w b", IMAGE, KERNEL, activation=name, **WINDOW, **more)
    for name, more in {
        "Relu": {}, "Tanh": {}, "LeakyRelu": {"activation_params": [0.2]}, "Clip": {"activation_params": [0.0, 6.0]},
        "HardSigmoid": {"activation_params": [0.2, 0.5]},
    }.items()
} | {
    "convolution, sum and Relu": fused(
        "FusedConv", "x w b x2", {**IMAGE, "x2": (1, 4, 8, 8)}, KERNEL, activation="Relu", **WINDOW
    ),
    "dense and Relu": fused("FusedGemm", "x w b", {"x": (3, 5)}, {"w": (5, 4), "b": (4,)}, activation="Relu"),
    "turned and scaled product": fused(
        "FusedMatMul", "x x2", {"x": (2, 3, 4, 5), "x2": (2, 3, 6, 5)}, {}, transB=1, alpha=0.25
    ),
    "product with its batch inside": fused(
        "FusedMatMul", "x x2", {"x": (5, 2, 3, 4), "x2": (2, 3, 5, 6)}, {}, transBatchA=1, transA=1
    ),
    "GELU": fused("Gelu", "x", {"x": (3, 7)}, {}),
    "GELU of a sum": fused("BiasGelu", "x b", {"x": (3, 7)}, {"b": (7,)}),
    "GELU by tanh": fused("FastGelu", "x b", {"x": (3, 7)}, {"b": (7,)}),
    "GELU by sigmoid": fused("QuickGelu", "x", {"x": (3, 7)}, {}),
    "layer normalisation of a sum": fused(
        "SkipLayerNormalization", "x x2 g b c", TOKENS, {"g": (8,), "b": (8,), "c": (8,)}, "y - - y2", epsilon=1e-5
    ),
    "layer normalisation before opset 17": fused("SkipLayerNormalization", "x x2 g", TOKENS, {"g": (8,)}, opset=12),
    "root mean square of a sum": fused("SkipSimplifiedLayerNormalization", "x x2 g", TOKENS, {"g": (8,)}),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_fused_operator_answers_as_onnxruntime(name: str) -> None:
    model = MODELS[name]
    low = lowered(model)
    feeds = [
        {
            value.name: np.random.default_rng(seed)
            .standard_normal([dim.dim_value for dim in value.type.tensor_type.shape.dim])
            .astype(np.float32)
            for value in model.graph.input
        }
        for seed in range(2)
    ]
    for runtime in RUNTIMES:
        assert agreement_db(model, low, network_of(low), feeds, runtime) >= FLOAT32_DB


def test_what_onnxruntime_optimised_converts_to_the_same_operators(tmp_path: Path) -> None:
    this = case("a = Conv(x, w) b = Relu(a) y = Conv(b, v)", x=(1, 3, 8, 8), w=(4, 3, 3, 3), v=(3, 4, 1, 1))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    original = model_of(this)
    onnxruntime.InferenceSession(original.SerializeToString(), options, providers=["CPUExecutionProvider"])
    optimised = onnx.load(tmp_path / "optimised.onnx")
    assert "FusedConv" in {node.op_type for node in optimised.graph.node}
    assert kinds(lowered(optimised)) == kinds(lowered(original))
