"""`--format onnx` from the request to the file: it runs, carries its proof, and is refused where it cannot be."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from converters.onnx_cases import case, model_of
from converters.onnx_out.parts import CNN, MLP, answers, samples_of

import edgewise
from edgewise.model_file import read_model
from edgewise.onnx_properties import has_int8_activations
from edgewise_converters.errors import ConversionError, SourceError, UnknownTarget, VerificationFailed
from edgewise_converters.pipeline import convert
from edgewise_converters.request import Request, Result

SPECTRUM = case(
    "a = Conv(x, w1) c = Mul(a, a) d = Add(c, eps) e = Log(d) f = Conv(e, w2) y = Relu(f)",
    x=(1, 1, 80), w1=(8, 1, 9), eps=np.array(1e-5, np.float32), w2=(6, 8, 3),
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Models and samples."""
    for name, this in (("cnn", CNN), ("mlp", MLP), ("spectrum", SPECTRUM)):
        onnx.save(model_of(this), tmp_path / f"{name}.onnx")
        np.save(tmp_path / f"{name}.npy", np.stack([feed["x"] for feed in samples_of(this, 48)]))
    return tmp_path


def converted(folder: Path, name: str, precision: str, **wishes: object) -> Result:
    samples = folder / f"{name}.npy" if wishes.pop("sampled", True) else None
    out = folder / f"{name}-{precision}.onnx"
    request = Request(
        source=folder / f"{name}.onnx", target="rpi4", format="onnx", precision=precision,
        samples=samples, out=out, **wishes,  # type: ignore[arg-type]
    )  # fmt: skip
    return convert(request)


@pytest.mark.parametrize(
    ("name", "precision", "at_least_db"),
    [
        ("cnn", "fp32", 100.0), ("cnn", "fp16", 55.0), ("cnn", "weights8", 33.0), ("cnn", "dynamic", 30.0),
        ("cnn", "int8", 26.0), ("cnn", "mixed", 26.0), ("mlp", "dynamic", 30.0), ("mlp", "int8", 30.0),
        ("mlp", "int4", 13.0),
    ],
)  # fmt: skip
def test_every_precision_gives_a_file_that_proves_itself(
    folder: Path, name: str, precision: str, at_least_db: float
) -> None:
    result = converted(folder, name, precision)
    assert result.agreement["onnxruntime"].worst_db >= at_least_db
    card = read_model(result.path).card
    assert card is not None
    assert (card.precision, card.runtimes, card.target) == (precision, ("onnxruntime",), "rpi4")
    assert card.layers
    with edgewise.load(result.path) as model:
        outcome = model.self_test()
        assert outcome.passed and outcome.results
    onnx.checker.check_model(onnx.load(result.path)) if precision != "int4" else None


def test_files_shrink_with_their_bits(folder: Path) -> None:
    sizes = [converted(folder, "mlp", p).size_bytes for p in ("fp32", "fp16", "dynamic", "int4")]
    assert sizes == sorted(sizes, reverse=True)


def test_the_same_request_gives_the_same_bytes(folder: Path) -> None:
    first = converted(folder, "cnn", "int8").path.read_bytes()
    assert converted(folder, "cnn", "int8").path.read_bytes() == first


def test_auto_takes_int8_with_samples_and_dynamic_without(folder: Path) -> None:
    assert converted(folder, "mlp", "auto").precision == "int8"
    assert converted(folder, "mlp", "auto", sampled=False).precision == "dynamic"


def test_a_front_end_before_a_logarithm_stays_float_where_that_helps(folder: Path) -> None:
    spared = converted(folder, "spectrum", "int8")
    assert "in float" in spared.card.calibration_method
    with pytest.raises(VerificationFailed, match="not good enough"):
        converted(folder, "spectrum", "int8", rescue=False)


def test_a_quantized_model_stays_as_it_is(folder: Path) -> None:
    first = converted(folder, "cnn", "int8")
    (folder / "again.onnx").write_bytes(first.path.read_bytes())
    np.save(folder / "again.npy", np.load(folder / "cnn.npy"))
    again = converted(folder, "again", "auto")
    assert again.precision == "int8 (as in the source)"
    assert again.size_bytes < 1.05 * first.size_bytes
    assert again.agreement["onnxruntime"].worst_db > 60


def test_int8_answers_are_those_of_the_kernels_that_arm_has(folder: Path) -> None:
    path = converted(folder, "cnn", "int8").path
    assert has_int8_activations(str(path)) and not has_int8_activations(
        converted(folder, "cnn", "fp32").path.read_bytes()
    )
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.qdqisint8allowed", "1")  # what onnxruntime does on ARM
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    for feed in samples_of(CNN, 3):
        (expected,) = session.run(None, feed)
        np.testing.assert_array_equal(answers(path.read_bytes(), [feed])[0]["y"], expected)


def test_the_name_of_the_file_tells_the_format(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    request = Request(source=folder / "cnn.onnx", target="rpi4", format="onnx", precision="fp32")
    assert convert(request).path.name == "cnn-rpi4.onnx"


@pytest.mark.parametrize(
    ("wishes", "kind", "said"),
    [
        ({"target": "armv7"}, UnknownTarget, "32-bit ARM"),
        ({"out": Path("x.tflite")}, ConversionError, "expected .onnx"),
        ({"precision": "int16x8"}, ConversionError, "not there for --format onnx"),
        ({"weights": "per-tensor"}, ConversionError, "--weights: not there"),
        ({"ends": "int8"}, ConversionError, "--io: not there"),
        ({"precision": "int8", "samples": None}, ConversionError, "needs --samples"),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    folder: Path, wishes: dict[str, object], kind: type[Exception], said: str
) -> None:
    asked = {
        "source": folder / "cnn.onnx", "target": "rpi4", "format": "onnx", "samples": folder / "cnn.npy", **wishes
    }  # fmt: skip
    asked.setdefault("out", folder / "out.onnx")
    with pytest.raises(kind, match=said):
        convert(Request(**asked))  # type: ignore[arg-type]  # keywords by name, checked when called
    assert not (folder / "out.onnx").exists()


def test_int4_without_dense_layers_is_refused(folder: Path) -> None:
    with pytest.raises(ConversionError, match="no dense layer"):
        converted(folder, "spectrum", "int4")


def test_a_tflite_source_is_refused(folder: Path) -> None:
    convert(Request(source=folder / "cnn.onnx", target="rpi4", precision="fp32", out=folder / "cnn.tflite"))
    with pytest.raises(SourceError, match="cannot become an ONNX one"):
        convert(Request(source=folder / "cnn.tflite", target="rpi4", format="onnx", out=folder / "out.onnx"))
