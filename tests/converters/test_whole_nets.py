"""Whole networks, trained and seeded, through the converter as a library."""

from pathlib import Path

import numpy as np
import pytest

import edgewise
from edgewise_converters.onnx_session import Reference
from edgewise_converters.pipeline import convert
from edgewise_converters.request import Request, Result
from edgewise_converters.samples import InputSpec, load_samples
from edgewise_converters.verify import Case, Layouts, measure, open_runtime
from export_nets import NetLibrary

pytestmark = pytest.mark.slow
FLOAT32_DB = 100.0
FLOAT16_DB = 40.0
CATS = {"tiger cat", "Egyptian cat", "tabby"}
LITE0 = "mean=127;std=128"
TOP1_AGREEMENT = 0.92
INT8_SIZE = 0.28
"""Parts of the float file's size and of the photos' first answers that an int8 EfficientNet-Lite0 must keep."""


@pytest.fixture(scope="module")
def float_lite0(
    efficientnet_lite0: Path, imagenet_labels: Path, tmp_path_factory: pytest.TempPathFactory
) -> Result:
    """EfficientNet-Lite0 in float32."""
    out = tmp_path_factory.mktemp("lite0") / "float.tflite"
    request = Request(
        source=efficientnet_lite0, target="rpi4", precision="fp32", preprocess=LITE0, labels=imagenet_labels, out=out
    )  # fmt: skip
    return convert(request)


@pytest.fixture(scope="module")
def int8_lite0(
    efficientnet_lite0: Path,
    imagenet_labels: Path,
    grocery_calibration: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Result:
    """EfficientNet-Lite0 in int8, calibrated on 100 photos."""
    out = tmp_path_factory.mktemp("lite0") / "int8.tflite"
    request = Request(
        source=efficientnet_lite0, target="rpi4", precision="int8", samples=grocery_calibration, preprocess=LITE0,
        labels=imagenet_labels, out=out,
    )  # fmt: skip
    return convert(request)


def top_three(path: Path, photo: Path) -> set[str]:
    with edgewise.load(path) as model:
        answer = model.predict(photo)
    return {category.label for category in answer.categories[:3]}  # type: ignore[attr-defined]


def test_float_lite0_is_exact_and_knows_the_cat(float_lite0: Result, cat_photo: Path) -> None:
    assert float_lite0.agreement["litert"].worst_db >= FLOAT32_DB
    assert top_three(float_lite0.path, cat_photo) == CATS


def test_int8_lite0_is_small_and_knows_the_cat(
    int8_lite0: Result, float_lite0: Result, cat_photo: Path
) -> None:
    assert top_three(int8_lite0.path, cat_photo) == CATS
    assert int8_lite0.size_bytes <= INT8_SIZE * float_lite0.size_bytes


def test_int8_lite0_answers_as_float_does_on_photos_it_was_not_calibrated_on(
    int8_lite0: Result, efficientnet_lite0: Path, grocery_held_out: Path
) -> None:
    entry = int8_lite0.card.inputs[0]
    spec = InputSpec("image", (1, 3, 224, 224), np.dtype(np.float32), entry.image, "nchw")
    reference = Reference(efficientnet_lite0)
    cases = [Case(feed, reference.run(feed)) for feed in load_samples(grocery_held_out, [spec]).feeds()]
    layouts = Layouts({"image": (0, 2, 3, 1)}, {"logits": (0, 1)})
    backend = open_runtime(int8_lite0.path.read_bytes(), "litert")
    result = measure(backend, cases, layouts, classifies=True, tick=lambda: None)
    backend.close()
    assert result.cases >= 100
    assert result.top1 is not None and result.top1 >= TOP1_AGREEMENT


@pytest.mark.parametrize("structure", ["mobilenetv3_small_100", "shufflenet_v2_x1_0", "squeezenet1_1"])
def test_structure_is_exact_for_a_32_bit_board_too(nets: NetLibrary, structure: str, tmp_path: Path) -> None:
    source = nets.path(f"{structure}-opset17-torchscript")
    result = convert(Request(source=source, target="armv7", precision="fp32", out=tmp_path / "net.tflite"))
    assert result.agreement["tflite-runtime"].worst_db >= FLOAT32_DB


@pytest.mark.parametrize("target", ["rpi4", "armv7"])
@pytest.mark.parametrize("structure", ["resnet18", "mobilenetv3_small_100"])
def test_structure_holds_its_gate_at_float16_and_dynamic(
    nets: NetLibrary, structure: str, target: str, tmp_path: Path
) -> None:
    source = nets.path(f"{structure}-opset17-torchscript")
    for precision, part in (("fp16", 0.57), ("dynamic", 0.9)):
        out = tmp_path / f"{precision}.tflite"
        result = convert(Request(source=source, target=target, precision=precision, out=out))
        assert result.size_bytes < part * result.source_bytes, precision


@pytest.mark.parametrize("structure", ["mobilenetv1_100", "shufflenet_v2_x1_0", "squeezenet1_1"])
def test_structure_runs_in_int8_on_every_board(
    nets: NetLibrary, structure: str, grocery_calibration: Path, tmp_path: Path
) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for photo in sorted(grocery_calibration.iterdir())[:16]:
        (few / photo.name).symlink_to(photo)
    for target in ("rpi4", "armv7"):
        request = Request(
            source=nets.path(f"{structure}-opset17-torchscript"), target=target, precision="int8", samples=few,
            preprocess="imagenet", calibration="minmax", out=tmp_path / f"{target}.tflite",
        )  # fmt: skip
        assert convert(request).size_bytes < 0.35 * request.source.stat().st_size


@pytest.mark.parametrize(("precision", "gate_db"), [("fp32", FLOAT32_DB), ("fp16", FLOAT16_DB)])
def test_yunet_is_as_exact_as_its_numbers_allow(
    yunet: Path, grocery_calibration: Path, tmp_path: Path, precision: str, gate_db: float
) -> None:
    request = Request(
        source=yunet, target="rpi4", precision=precision, samples=grocery_calibration, preprocess="raw;colour=bgr",
        out=tmp_path / "faces.tflite",
    )  # fmt: skip
    result = convert(request)
    # Its scores are sigmoids near zero, where onnxruntime differs from itself by more than 100 dB below one.
    floors = {output.name: output.snr_db for output in result.floor.outputs} if result.floor else {}
    for output in result.agreement["litert"].outputs:
        assert output.snr_db >= min(gate_db, floors.get(output.name, gate_db)), output
