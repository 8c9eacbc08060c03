"""TFLite_Detection_PostProcess, run by itself: a .tflite file of that one operator, made here."""

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from flatbuffers import flexbuffers

from reference_heads.raw_outputs import Case

OUTPUTS = ("boxes", "classes", "scores", "count")
MOST = 40
"""Detections the operator may give."""


def run_operator(case: Case) -> dict[str, np.ndarray]:
    """Its four outputs, in its order; NaN for what it leaves unset, which is whatever was in memory."""
    interpreter = Interpreter(model_content=operator_file(case))
    interpreter.allocate_tensors()
    for spec, name in zip(interpreter.get_input_details(), ("encodings", "class_scores"), strict=True):
        interpreter.set_tensor(spec["index"], case.raw[name])
    interpreter.invoke()
    specs = interpreter.get_output_details()
    outputs = {name: interpreter.get_tensor(spec["index"]) for name, spec in zip(OUTPUTS, specs, strict=True)}
    for name in OUTPUTS[:3]:
        outputs[name][:, int(outputs["count"][0]) :] = np.nan
    return outputs


def operator_file(case: Case) -> bytes:
    """A model with encodings and class scores as inputs and the anchors inside."""
    model = schema.ModelT()
    model.version, model.description = 3, "one operator"
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode, code.version = "TFLite_Detection_PostProcess", 1
    model.operatorCodes = [code]
    model.buffers = [schema.BufferT(), schema.BufferT()]
    model.buffers[1].data = np.frombuffer(case.raw["anchors"].tobytes(), np.uint8)
    graph = schema.SubGraphT()
    graph.tensors = [_tensor(name, array.shape) for name, array in case.raw.items()]
    graph.tensors[2].buffer = 1
    graph.tensors += [
        _tensor(name, shape)
        for name, shape in zip(OUTPUTS, ((1, MOST, 4), (1, MOST), (1, MOST), (1,)), strict=True)
    ]
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0, 1, 2], [3, 4, 5, 6]
    operator.customOptions = np.frombuffer(_options(case), np.uint8)
    graph.operators, graph.inputs, graph.outputs, graph.name = [operator], [0, 1], [3, 4, 5, 6], "main"
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _tensor(name: str, shape: tuple[int, ...]) -> "schema.TensorT":
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type, tensor.buffer = name, list(shape), schema.TensorType.FLOAT32, 0
    return tensor


def _options(case: Case) -> bytes:
    builder = flexbuffers.Builder()
    with builder.Map():
        for name, value in (
            ("max_detections", MOST), ("max_classes_per_detection", 1), ("detections_per_class", 100),
            ("num_classes", case.classes), ("nms_score_threshold", case.score), ("nms_iou_threshold", case.overlap),
            ("y_scale", 10.0), ("x_scale", 10.0), ("h_scale", 5.0), ("w_scale", 5.0), ("use_regular_nms", False),
        ):  # fmt: skip
            builder.Key(name)
            builder.Add(value)
    return bytes(builder.Finish())
