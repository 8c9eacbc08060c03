"""The real onnx2tf, in the environment that the benchmarks make for it."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from converters.onnx_cases import case, model_of
from onnx import helper

from edgewise_converters.engines.catalogue import ENGINES
from edgewise_converters.engines.installation import installed
from edgewise_converters.errors import ConversionError
from edgewise_converters.pipeline import convert
from edgewise_converters.progress import Silent
from edgewise_converters.request import Request
from model_sources.environments import environment, find_python
from model_sources.wheels import SourceError

pytestmark = pytest.mark.slow

ONNX2TF = ENGINES["onnx2tf"].releases[0]
GATE_DB = 90.0
"""What verification asks of float32."""
NET = case(
    "a = Conv<pads=[1,1,1,1]>(x, w, b) c = Relu(a) d = GlobalAveragePool(c) e = Flatten(d) y = Gemm(e, v)",
    x=(1, 3, 16, 16), w=(8, 3, 3, 3), b=(8,), v=(8, 5),
)  # fmt: skip


@pytest.fixture(scope="module")
def engine_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of engines whose onnx2tf is the environment that the benchmarks keep."""
    version = next((v for v in ONNX2TF.pythons if find_python(v)), None)
    if version is None:
        pytest.skip(f"no Python {' or '.join(ONNX2TF.pythons)} on this computer")
    try:
        python = environment("onnx2tf-2", [ONNX2TF.requirement("onnx2tf")], python=str(find_python(version)))
    except SourceError as error:
        pytest.skip(f"onnx2tf cannot be fetched: {error}")
    home = tmp_path_factory.mktemp("home")
    folder = home / "engines" / f"onnx2tf-{ONNX2TF.version}"
    folder.mkdir(parents=True)
    (folder / "environment").symlink_to(python.parents[1])
    manifest = {"name": "onnx2tf", "version": ONNX2TF.version, "python_version": version}
    (folder / "engine.json").write_text(json.dumps(manifest))
    return home


@pytest.fixture
def net(tmp_path: Path, engine_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEWISE_HOME", str(engine_home))
    assert installed(ENGINES["onnx2tf"]) is not None
    onnx.save(model_of(NET), tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


def test_its_file_is_verified_named_as_the_original_and_says_who_made_it(net: Path) -> None:
    before = net.read_bytes()
    out = net.with_name("out.tflite")
    progress = Silent()
    result = convert(
        Request(source=net, target="arm64", precision="fp32", engine="onnx2tf", out=out), progress
    )
    assert min(a.worst_db for a in result.agreement.values()) >= GATE_DB
    assert net.read_bytes() == before
    assert sorted(path.name for path in net.parent.iterdir()) == ["net.onnx", "out.tflite"]
    assert result.card.tools["onnx2tf"] == ONNX2TF.version
    assert [tensor.name for tensor in (*result.card.inputs, *result.card.outputs)] == ["x", "y"]
    assert (result.card.inputs[0].shape, result.card.inputs[0].layout) == ((1, 16, 16, 3), "nhwc")
    assert progress.notices == [f"converted by onnx2tf {ONNX2TF.version}"]


def test_its_float_file_is_quantized_by_us(net: Path) -> None:
    samples = net.with_name("samples.npy")
    np.save(samples, np.random.default_rng(0).standard_normal((48, 1, 3, 16, 16)).astype(np.float32))
    asked = Request(
        source=net,
        target="arm64",
        precision="int8",
        samples=samples,
        engine="onnx2tf",
        out=net.with_name("o.tflite"),
    )
    result = convert(asked, Silent())
    assert result.precision == "int8"
    assert max(result.card.layers, key=lambda layer: layer.operators).precision == "int8"


def test_what_neither_can_place_is_refused_with_both_reasons(net: Path) -> None:
    model = onnx.load(net)
    last = model.graph.node[-1]
    last.CopyFrom(
        helper.make_node("Frobnicate", list(last.input), list(last.output), name="n", domain="com.example")
    )
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    onnx.save(model, net)
    with pytest.raises(
        ConversionError, match=r"operator com.example::Frobnicate .* onnx2tf .* could not convert it"
    ):
        convert(
            Request(source=net, target="arm64", precision="fp32", out=net.with_name("out.tflite")), Silent()
        )
    assert [path.name for path in net.parent.iterdir()] == ["net.onnx"]
