"""Two files asked the same: what is the same agrees wholly, what differs does not, whatever the formats."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from converters.onnx_cases import case, model_of
from PIL import Image

from edgewise_converters.agreement import IDENTICAL_DB
from edgewise_converters.comparison import compare
from edgewise_converters.errors import InvalidSamples, SourceError
from edgewise_converters.pipeline import convert
from edgewise_converters.request import Request

FLOAT32_DB = 100.0
LIMIT_S = 120
NET = case(
    "a = Conv<pads=[1,1,1,1]>(x, w, b) y1 = Relu(a) d = GlobalAveragePool(y1) e = Flatten(d) y = Gemm(e, v)",
    x=(1, 3, 16, 16), w=(16, 3, 3, 3), b=(16,), v=(16, 5),
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """net.onnx with a map and scores, its float and int8 twins, and photos."""
    folder = tmp_path_factory.mktemp("compare")
    onnx.save(model_of(NET), folder / "net.onnx")
    rng = np.random.default_rng(0)
    (folder / "photos").mkdir()
    for i in range(48):
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), np.uint8)).save(folder / "photos" / f"{i}.png")
    for precision in ("fp32", "int8"):
        convert(
            Request(
                source=folder / "net.onnx",
                target="rpi4",
                precision=precision,
                samples=folder / "photos",
                preprocess="signed",
                out=folder / f"{precision}.tflite",
            )
        )
    return folder


def test_a_file_agrees_with_itself(folder: Path) -> None:
    for name in ("net.onnx", "int8.tflite"):
        found = compare(folder / name, folder / name)
        assert found.agreement.worst_db == IDENTICAL_DB
        assert found.measured_on == "random inputs"
        assert found.agreement.top1 is None
        assert any("no --samples" in text for text in found.notices)


def test_axes_in_another_order_are_found_and_told(folder: Path) -> None:
    found = compare(folder / "net.onnx", folder / "fp32.tflite")
    assert found.agreement.worst_db > FLOAT32_DB
    assert found.inputs == {"x": "NCHW to NHWC"}
    assert {output.agreement.name: output.axes for output in found.outputs} == {"y1": "NCHW to NHWC", "y": ""}


def test_a_map_as_wide_as_its_channels_is_placed_by_its_numbers(folder: Path) -> None:
    """[1,16,16,16] fits in three orders: the one that agrees is meant."""
    found = compare(folder / "fp32.tflite", folder / "net.onnx")
    assert found.agreement.worst_db > FLOAT32_DB
    assert next(o.axes for o in found.outputs if o.agreement.name == "y1") == "NHWC to NCHW"


def test_pictures_are_prepared_as_a_file_says(folder: Path) -> None:
    found = compare(folder / "net.onnx", folder / "int8.tflite", samples=folder / "photos")
    asked = compare(
        folder / "net.onnx", folder / "int8.tflite", samples=folder / "photos", preprocess="signed"
    )
    assert found.agreement == asked.agreement
    assert found.agreement.cases == 48
    assert 20 < found.agreement.worst_db < FLOAT32_DB


def test_samples_as_arrays_go_through_the_quantization_of_an_input(folder: Path) -> None:
    pixels = np.random.default_rng(1).uniform(-0.5, 0.5, (9, 3, 16, 16)).astype(np.float32)
    np.save(folder / "x.npy", pixels)
    found = compare(folder / "net.onnx", folder / "int8.tflite", samples=folder / "x.npy")
    assert found.agreement.worst_db > 15
    assert found.measured_on == "x.npy"


def test_first_answers_are_counted_with_their_interval(tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("other", 2)):
        net = case(
            "y = MatMul(x, w)", x=(1, 6), w=np.random.default_rng(seed).standard_normal((6, 4)).astype("f")
        )
        onnx.save(model_of(net), tmp_path / f"{name}.onnx")
    samples = np.random.default_rng(3).standard_normal((50, 1, 6)).astype(np.float32)
    np.save(tmp_path / "x.npy", samples)
    one, other = (
        onnx.numpy_helper.to_array(onnx.load(tmp_path / f"{name}.onnx").graph.initializer[0])
        for name in ("one", "other")
    )
    same = np.mean((samples[:, 0] @ one).argmax(1) == (samples[:, 0] @ other).argmax(1))
    found = compare(tmp_path / "one.onnx", tmp_path / "other.onnx", samples=tmp_path / "x.npy")
    interval = found.agreement.top1_interval
    assert interval is not None
    assert interval.value == pytest.approx(same)
    assert interval.low < same < interval.high


def test_models_that_have_nothing_in_common_are_refused(folder: Path, tmp_path: Path) -> None:
    onnx.save(model_of(case("y = Relu(x)", x=(1, 7))), tmp_path / "other.onnx")
    with pytest.raises(SourceError, match="the inputs do not match"):
        compare(folder / "net.onnx", tmp_path / "other.onnx")
    with pytest.raises(InvalidSamples, match="takes no image"):
        compare(tmp_path / "other.onnx", tmp_path / "other.onnx", preprocess="unit")
    with pytest.raises(SourceError, match="no such file"):
        compare(folder / "net.onnx", tmp_path / "gone.onnx")


def command(*words: object) -> subprocess.CompletedProcess[str]:
    edgewise = Path(sys.executable).with_name("edgewise")
    return subprocess.run(
        [str(edgewise), "compare", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def test_the_command_prints_json_and_fails_below_a_limit(folder: Path) -> None:
    files = (folder / "net.onnx", folder / "int8.tflite", "--samples", folder / "photos")
    done = command(*files, "--json", "--min-db", 90)
    told = json.loads(done.stdout)
    assert done.returncode == 1
    assert told["cases"] == 48 and told["worst_db"] < 90
    assert done.stderr.splitlines()[-1].startswith("error: output 'y")
    assert command(*files, "--min-db", 10).returncode == 0


def test_another_number_of_results_is_no_agreement(tmp_path: Path) -> None:
    for name, least in (("a", 0.5), ("b", 0.6)):
        body = "m = Greater(x, least) y = NonZero(m) y2 = Neg(x)"
        onnx.save(model_of(case(body, x=(4, 5), least=np.float32(least))), tmp_path / f"{name}.onnx")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((30, 4, 5), np.float32))
    found = compare(tmp_path / "a.onnx", tmp_path / "b.onnx", samples=tmp_path / "x.npy")
    places, numbers = (output.agreement for output in found.outputs)
    assert found.agreement.cases == 30
    assert places.snr_db == -IDENTICAL_DB and np.isinf(places.max_error)
    assert numbers.snr_db == IDENTICAL_DB
    same = compare(tmp_path / "a.onnx", tmp_path / "a.onnx", samples=tmp_path / "x.npy")
    assert same.agreement.worst_db == IDENTICAL_DB and same.agreement.top1 is None
