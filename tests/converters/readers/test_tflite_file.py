"""A TFLite file as a source: what is read from real files, and what is refused in one line."""

from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from converters.tflite_nets import VALID, Net

import edgewise
from edgewise.errors import EdgewiseError
from edgewise.tensors import Quantization
from edgewise_converters.errors import ConversionError, SourceError, UnsupportedOperator
from edgewise_converters.pipeline import convert
from edgewise_converters.readers.tflite_file import read_tflite
from edgewise_converters.reference import TfliteReference
from edgewise_converters.request import Request, Result
from edgewise_converters.tflite.graph import Tensor

SAME_KERNELS_DB = 200.0
FROM_TWO_EXPORTERS_DB = 110.0
"""float32 rounding between TensorFlow's graph of a network and its ONNX twin."""


def converted(source: Path, out: Path, **wishes: object) -> Result:
    """In LiteRT alone, which is what the original is computed in."""
    return convert(Request(source=source, target="rpi4", out=out, **wishes))  # type: ignore[arg-type]  # keywords by name, checked when called


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A convolution and a dense layer."""
    net = Net(1, 8, 8, 3)
    image = net.add(
        "CONV_2D", [net.entry, net.weights(8, 3, 3, 3), net.weights(8)], 1, 6, 6, 8, options=VALID
    )
    flat = net.add("RESHAPE", [image, net.ints(1, 288)], 1, 288)
    return net.save(
        tmp_path / "small.tflite", net.add("FULLY_CONNECTED", [flat, net.weights(5, 288), None], 1, 5)
    )


@pytest.mark.parametrize(
    "name", ["face_detection_front", "face_detection_full_range_sparse", "iris_landmark"]
)
def test_real_files_come_back_to_the_bit(faces: Path, tmp_path: Path, name: str) -> None:
    result = converted(faces / f"{name}.tflite", tmp_path / "out.tflite", precision="fp32")
    assert result.agreement["litert"].worst_db == SAME_KERNELS_DB
    assert result.card.source is not None and result.card.source.format == "tflite"
    assert result.card.inputs[0].layout == "nhwc"


def test_an_open_batch_and_shape_chains_become_static(basic_pitch: tuple[Path, Path], tmp_path: Path) -> None:
    _, file = basic_pitch
    source, graph = read_tflite(file)
    assert source.inputs[0].shape == (1, 43844, 1)
    assert "batch 1" in source.notices[0]
    assert {"SHAPE", "EXPAND_DIMS"}.isdisjoint(operator.kind for operator in graph.operators)


def test_the_names_of_the_signature_are_kept(basic_pitch: tuple[Path, Path], tmp_path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    result = converted(basic_pitch[1], tmp_path / "out.tflite", precision="fp32")
    signatures = [Interpreter(str(path)).get_signature_list() for path in (basic_pitch[1], result.path)]
    first, second = ({end: sorted(each) for end, each in s["serving_default"].items()} for s in signatures)
    assert first == second


def test_our_own_file_is_read_and_written_again(small: Path, tmp_path: Path) -> None:
    once = converted(small, tmp_path / "once.tflite", precision="fp32")
    twice = converted(once.path, tmp_path / "twice.tflite", precision="fp32")
    assert twice.agreement["litert"].worst_db == SAME_KERNELS_DB
    assert abs(twice.size_bytes - once.size_bytes) < 256


@pytest.mark.parametrize("precision", ["fp16", "dynamic", "int8"])
def test_precisions_of_a_tflite_source(small: Path, tmp_path: Path, precision: str) -> None:
    samples = np.random.default_rng(3).standard_normal((48, 8, 8, 3)).astype(np.float32)
    np.save(tmp_path / "samples.npy", samples)
    result = converted(small, tmp_path / "out.tflite", precision=precision, samples=tmp_path / "samples.npy")
    assert result.precision == precision
    with edgewise.load(result.path) as model:
        assert model.self_test().passed


def test_labels_and_pictures_are_taken_over(small: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("ant\nbee\ncat\ndog\neel\n")
    once = converted(
        small, tmp_path / "once.tflite", precision="fp32", labels=tmp_path / "labels.txt", preprocess="signed"
    )
    again = converted(once.path, tmp_path / "again.tflite", precision="fp16")
    assert again.card.labels == ("ant", "bee", "cat", "dog", "eel")
    assert again.card.inputs[0].image == once.card.inputs[0].image
    assert again.card.task == once.card.task == "image-classification"
    assert any("labels that the model carries" in text for text in again.notices)


def refused(path: Path, kind: type[ConversionError], said: str) -> None:
    with pytest.raises(kind, match=said):
        read_tflite(path)


def test_quantized_files_are_refused(small: Path, tmp_path: Path) -> None:
    dynamic = converted(small, tmp_path / "dynamic.tflite", precision="dynamic")
    refused(
        dynamic.path, SourceError, r"quantized already: the weights of .* are int8; expected a float model"
    )
    net = Net(1, 4)
    inner = Tensor("q", (1, 4), np.dtype(np.int8), None, Quantization((0.1,), (0,)))
    net.add("QUANTIZE", [net.entry], 1, 4)
    net.graph.operators[-1].outputs = [inner]
    path = net.save(tmp_path / "int8.tflite", net.add("DEQUANTIZE", [inner], 1, 4))
    refused(path, SourceError, "quantized already: 'q' is int8")


def edited(path: Path, change: str) -> Path:
    """The file with one thing changed through the schema's own objects."""
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    if change == "custom":
        model.operatorCodes[0].builtinCode = model.operatorCodes[0].deprecatedBuiltinCode = 32
        model.operatorCodes[0].customCode = b"TheirOwn"
    elif change == "variable":
        model.subgraphs[0].tensors[2].isVariable = True
    else:
        model.operatorCodes[0].builtinCode = schema.BuiltinOperator.WHILE
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(builder.Output())
    return path


def test_what_cannot_run_is_refused_in_the_words_of_litert(small: Path) -> None:
    refused(edited(small, "custom"), SourceError, "LiteRT cannot run it: .*TheirOwn")


def test_state_between_calls_is_refused(tmp_path: Path) -> None:
    net = Net(1, 4)
    handle = net.add("VAR_HANDLE", [], dtype=np.int32)
    with pytest.raises((UnsupportedOperator, SourceError), match=r"state|VAR_HANDLE|LiteRT cannot"):
        read_tflite(net.save(tmp_path / "m.tflite", net.add("READ_VARIABLE", [handle], 1, 4)))


def fused_lstm(path: Path, *, steps: int, peepholes: bool) -> Path:
    """As TensorFlow's converter writes a Keras LSTM, clipped at 10."""
    net = Net(1, steps, 6)
    weights = [net.weights(5, 6) for _ in range(4)] + [net.weights(5, 5) for _ in range(4)]
    peeps: list[Tensor | None] = [net.weights(5) if peepholes else None for _ in range(3)]
    biases = [net.weights(5) for _ in range(4)]
    states = [Tensor(f"state{i}", (1, 5), np.dtype(np.float32)) for i in range(2)]
    inputs = [net.entry, *weights, *peeps, *biases, None, None, *states]
    options = {"fusedActivationFunction": 4, "cellClip": 10.0}
    answer = net.add("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, 1, steps, 5, options=options)
    net.save(path, answer)
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    for tensor in model.subgraphs[0].tensors:
        tensor.isVariable = tensor.name.startswith(b"state")
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(builder.Output())
    return path


@pytest.mark.parametrize(("steps", "peepholes"), [(7, False), (12, True)])
def test_a_fused_lstm_becomes_steps_that_forget(tmp_path: Path, steps: int, peepholes: bool) -> None:
    path = fused_lstm(tmp_path / "lstm.tflite", steps=steps, peepholes=peepholes)
    x = np.random.default_rng(0).standard_normal((1, steps, 6)).astype(np.float32)
    reference = TfliteReference(path)
    (first,), (second,) = (reference.run({"x": x}).values() for _ in range(2))
    np.testing.assert_array_equal(first, second)
    result = converted(path, tmp_path / "out.tflite", precision="fp32")
    assert result.agreement["litert"].worst_db > FROM_TWO_EXPORTERS_DB
    assert any("keeps a state between calls" in text for text in result.notices)
    assert any("clips its state at 10" in text for text in result.notices) == (steps > 10)


def test_shapes_that_depend_on_the_data_are_refused(tmp_path: Path) -> None:
    net = Net(2, 3)
    where = net.add(
        "WHERE", [net.add("GREATER", [net.entry, net.weights(1)], 2, 3, dtype=np.bool_)], 0, 2, dtype=np.int64
    )
    path = net.save(tmp_path / "m.tflite", net.add("CAST", [where], 0, 2, options={"inDataType": 4}))
    refused(path, UnsupportedOperator, "WHERE.*depends on the data")


def test_truncated_and_flipped_files_give_one_error_each(faces: Path, tmp_path: Path) -> None:
    whole = (faces / "face_detection_front.tflite").read_bytes()
    rng = np.random.default_rng(1)
    outcomes = {"refused": 0, "read": 0}
    for round_ in range(24):
        data = bytearray(whole)
        if round_ % 2:
            del data[int(rng.integers(20, len(whole))) :]
        else:
            for place in rng.integers(8, 60_000, 12):
                data[len(data) - int(place)] ^= int(rng.integers(1, 256))
        path = tmp_path / "broken.tflite"
        path.write_bytes(bytes(data))
        try:
            read_tflite(path)
            outcomes["read"] += 1
        except EdgewiseError as error:
            assert len(str(error).splitlines()) == 1
            outcomes["refused"] += 1
    assert outcomes["refused"] >= 12


def test_two_exports_of_one_network_agree(basic_pitch: tuple[Path, Path]) -> None:
    from edgewise_converters.onnx_session import Reference

    onnx_file, file = basic_pitch
    first, second = Reference(onnx_file), TfliteReference(file)
    x = np.random.default_rng(0).standard_normal((1, 43844, 1)).astype(np.float32)
    (name,) = (spec.name for spec in first.inputs)
    (other,) = (spec.name for spec in second.inputs)
    for want, got in zip(first.run({name: x}).values(), second.run({other: x}).values(), strict=True):
        assert float(np.square(want - got).sum() / np.square(want).sum()) < 10 ** (
            -FROM_TWO_EXPORTERS_DB / 10
        )
