"""What golden cases keep of large inputs and outputs, and that the SDK compares just that."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from converters.onnx_cases import case, model_of

import edgewise
from edgewise.golden import kept
from edgewise_converters.pipeline import convert
from edgewise_converters.proof import golden_cases
from edgewise_converters.request import Request, Result

WIDE = case("y = Mul(x, s) y2 = ReduceMean<axes=[1],keepdims=1>(x)", x=(1, 40000), s=np.float32(3))
WITHOUT_SAMPLING_BYTES = 40000 * 4


@pytest.fixture()
def wide(tmp_path: Path) -> Result:
    source = tmp_path / "wide.onnx"
    onnx.save(model_of(WIDE), source)
    return convert(Request(source=source, target="rpi4", precision="fp32", out=tmp_path / "wide.tflite"))


def test_large_output_is_sampled_and_a_small_one_is_whole(wide: Result) -> None:
    golden = wide.card.golden
    assert golden is not None and golden.output_steps[0] > 1 and golden.output_steps[1] == 1
    assert wide.size_bytes < WITHOUT_SAMPLING_BYTES / 2


def test_sdk_repeats_the_sampled_cases(wide: Result) -> None:
    with edgewise.load(wide.path) as model:
        assert model.self_test().passed


def test_steps_meet_every_channel() -> None:
    class Backend:
        def inputs(self) -> list[edgewise.TensorSpec]:
            return []

        def outputs(self) -> list[edgewise.TensorSpec]:
            return [edgewise.TensorSpec("y", (1, 64, 64, 12), "float32")]

        def run(self, inputs: object) -> list[np.ndarray]:
            return [np.broadcast_to(np.arange(12, dtype=np.float32), (1, 64, 64, 12)).copy()]

    proof = golden_cases(Backend(), [{}], None, image_layouts={}, network_bytes=1)  # type: ignore[arg-type]
    values = proof.cases[0].outputs["y"]
    assert set(values) == set(range(12)) and values.size <= 2048
    assert np.array_equal(kept(np.arange(10), 3), [0, 3, 6, 9])
