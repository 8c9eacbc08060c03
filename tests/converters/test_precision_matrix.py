"""Every precision, for every runtime, of every usual kind of network: runs, answers, or is refused with the reason."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from converters.onnx_cases import ask_onnxruntime
from converters.small_nets import NAMES, SmallNet, write_net

import edgewise
from edgewise.backends import open_backend
from edgewise.tensors import Array
from edgewise_converters.agreement import Meter
from edgewise_converters.errors import ConversionError, InvalidSamples
from edgewise_converters.pipeline import convert
from edgewise_converters.quantize.float16 import METADATA, METADATA_NAME
from edgewise_converters.request import Request, Result
from edgewise_converters.static_precisions import STATIC
from edgewise_converters.tflite.schema import schema
from edgewise_converters.verify import GATES_DB

pytestmark = pytest.mark.slow

RUNTIME_OF = {"rpi4": "litert", "armv7": "tflite-runtime"}
PRECISIONS = ("fp32", "fp16", "weights8", "dynamic", "int8", "int16x8", "int4")
MIXED_NETS = ("convolutions", "detector")
"""Mixed precision probes layer by layer, which takes seconds."""
FROM_SAMPLES_DB = 6.0
"""What fresh inputs may lose against those that were verified: small nets see few samples."""
HAS_NO_FOUR_BIT_LAYER = "decoder"


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SmallNet]:
    folder = tmp_path_factory.mktemp("nets")
    return {name: write_net(name, folder) for name in NAMES}


def converted(net: SmallNet, target: str, precision: str, out: Path, ends: str = "") -> Result:
    return convert(
        Request(
            source=net.file,
            target=target,
            precision=precision,
            samples=net.samples,
            calibration="minmax",
            out=out,
            ends=ends,
        )
    )


def fresh_db(net: SmallNet, result: Result, runtime: str) -> float:
    """The written file against onnxruntime, on consecutive inputs that nothing was measured on."""
    model, meter = onnx.load(str(net.file)), Meter()
    with edgewise.load(result.path, backend=runtime) as loaded:
        for feed in net.fresh:
            stored = [_stored(feed[t.name], t.layout) for t in loaded.inputs]
            answers = loaded.run(dict(zip([t.name for t in loaded.inputs], stored, strict=True)))
            actual = {t.name: _real(answers[t.name], t) for t in loaded.outputs}
            meter.add(ask_onnxruntime(model, feed), actual)
    return meter.result().worst_db


def _stored(array: Array, layout: str) -> Array:
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1)) if layout == "nhwc" else array


def _real(array: Array, spec: edgewise.TensorSpec) -> Array:
    real = spec.quantization.dequantize(array) if spec.quantization and array.dtype.kind == "i" else array
    return np.asarray(real.transpose(0, 3, 1, 2) if spec.layout == "nhwc" else real)


@pytest.mark.parametrize("target", RUNTIME_OF)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", NAMES)
def test_files_answer_in_the_runtime_of_their_target(
    nets: dict[str, SmallNet], name: str, precision: str, target: str, tmp_path: Path
) -> None:
    net, out = nets[name], tmp_path / "model.tflite"
    refused = _refusal(name, precision, target)
    if refused:
        with pytest.raises(ConversionError, match=refused):
            converted(net, target, precision, out)
        assert not out.exists()
        return
    result = converted(net, target, precision, out)
    assert set(result.agreement) == {RUNTIME_OF[target]} and result.precision == precision
    allowed = 0.0 if precision == "fp32" else FROM_SAMPLES_DB
    assert fresh_db(net, result, RUNTIME_OF[target]) >= GATES_DB[precision] - allowed


def _refusal(name: str, precision: str, target: str) -> str:
    """What the error must say; "" for what must be converted."""
    if precision == "int4" and target == "armv7":
        return "armv7 runs models in tflite-runtime, where 4-bit layers are slower"
    if precision == "int4" and name == HAS_NO_FOUR_BIT_LAYER:
        return "no dense layer, pointwise convolution or table of 1024 weights or more"
    return ""


@pytest.mark.parametrize("target", RUNTIME_OF)
@pytest.mark.parametrize("name", MIXED_NETS)
@pytest.mark.parametrize("precision", ["mixed", "mixed16"])
def test_mixed_files_answer_too(
    nets: dict[str, SmallNet], precision: str, name: str, target: str, tmp_path: Path
) -> None:
    result = converted(nets[name], target, precision, tmp_path / "model.tflite")
    assert fresh_db(nets[name], result, RUNTIME_OF[target]) >= GATES_DB[precision]


@pytest.mark.parametrize("target", RUNTIME_OF)
@pytest.mark.parametrize("ends", ["int8", "uint8"])
@pytest.mark.parametrize("precision", ["int8", "int16x8"])
def test_inputs_and_outputs_are_bytes_where_they_are_wanted(
    nets: dict[str, SmallNet], precision: str, ends: str, target: str, tmp_path: Path
) -> None:
    net = nets["convolutions"]
    result = converted(net, target, precision, tmp_path / "model.tflite", ends)
    backend = open_backend(result.path, "tflite", name=RUNTIME_OF[target], threads=1)
    assert {spec.dtype for spec in (*backend.inputs(), *backend.outputs())} == {ends}
    backend.close()
    assert {card.dtype for card in (*result.card.inputs, *result.card.outputs)} == {ends}


@pytest.mark.parametrize("precision", sorted(STATIC))
def test_ranges_need_samples(nets: dict[str, SmallNet], precision: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidSamples, match="needs --samples"):
        convert(
            Request(source=nets["dense"].file, target="rpi4", precision=precision, out=tmp_path / "m.tflite")
        )


def test_bytes_in_and_out_need_integer_activations(nets: dict[str, SmallNet], tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="--io uint8: got precision fp16"):
        converted(nets["dense"], "rpi4", "fp16", tmp_path / "m.tflite", "uint8")


@pytest.mark.parametrize(("target", "says_so"), [("rpi5", True), ("rpi4", False)])
def test_float16_files_say_that_a_board_may_compute_in_float16(
    nets: dict[str, SmallNet], target: str, says_so: bool, tmp_path: Path
) -> None:
    result = converted(nets["dense"], target, "fp16", tmp_path / "model.tflite")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(result.path.read_bytes(), 0))
    texts = {entry.name.decode(): bytes(model.buffers[entry.buffer].data) for entry in model.metadata}
    assert texts.get(METADATA_NAME) == (METADATA if says_so else None)


@pytest.mark.parametrize("precision", ["weights8", "dynamic", "int4"])
def test_without_samples_weights_are_rounded_to_nearest(
    nets: dict[str, SmallNet], precision: str, tmp_path: Path
) -> None:
    result = convert(
        Request(source=nets["dense"].file, target="rpi4", precision=precision, out=tmp_path / "m.tflite")
    )
    assert result.precision == precision


@pytest.mark.parametrize("precision", ["weights8", "dynamic", "int4"])
def test_the_same_samples_give_the_same_file(
    nets: dict[str, SmallNet], precision: str, tmp_path: Path
) -> None:
    files = [
        converted(nets["transformer"], "rpi4", precision, tmp_path / "m.tflite").path.read_bytes()
        for _ in "ab"
    ]
    assert files[0] == files[1]
