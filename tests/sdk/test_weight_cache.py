"""XNNPACK's packed weights in a file: the same answers, and never those of another model's weights."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import edgewise
from edgewise import BackendUnavailable, InvalidInput, backends
from edgewise_converters.pipeline import convert
from edgewise_converters.request import Request

pytestmark = pytest.mark.skipif(bool(backends.available()["litert"]), reason="needs litert")
X = np.random.default_rng(0).random((1, 16, 16, 3), np.float32)


def write_convolution(path: Path, seed: int) -> Path:
    """One convolution with weights of this seed: all such files have the same structure and size."""
    weights = np.random.default_rng(seed).normal(size=(32, 3, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])],
        "convolution",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 32, 16, 16])],
        [numpy_helper.from_array(weights, "w")],
    )
    source = path.with_suffix(".onnx")
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), source)
    convert(Request(source=source, target="rpi4", precision="fp32", out=path))
    return path


def answer(path: Path, cache: Path | None) -> np.ndarray:
    """With or without a cache."""
    with edgewise.load(path, threads=1, weight_cache=cache) as model:
        return model.run(X.reshape(model.inputs[0].shape))["y"]


def test_a_second_start_uses_the_cache_and_answers_the_same(tmp_path: Path) -> None:
    path, cache = write_convolution(tmp_path / "a.tflite", 1), tmp_path / "cache"
    plain = answer(path, None)
    np.testing.assert_array_equal(answer(path, cache), plain)
    (made,) = cache.iterdir()
    before = made.stat().st_mtime_ns
    np.testing.assert_array_equal(answer(path, cache), plain)
    assert [one.stat().st_mtime_ns for one in cache.iterdir()] == [before]
    with edgewise.load(path, weight_cache=cache, probe=True, warm_up=1) as model:
        assert set(model.placement().counts()) == {"XNNPACK"}
        assert model.self_test().passed


def test_another_model_in_its_place_does_not_get_the_old_ones_weights(tmp_path: Path) -> None:
    """As XNNPACK would give them: it does not look at what a cache was made of."""
    cache, path = tmp_path / "cache", write_convolution(tmp_path / "a.tflite", 1)
    old = answer(path, cache)
    (stale,) = cache.iterdir()
    other = write_convolution(tmp_path / "b.tflite", 2)
    new = answer(other, None)
    assert np.abs(new - old).max() > 1
    shutil.copy(other, path)
    np.testing.assert_array_equal(answer(path, cache), new)
    assert not stale.exists()  # and the folder does not fill up
    assert len(list(cache.iterdir())) == 1


def test_a_broken_cache_is_made_again(tmp_path: Path) -> None:
    path, cache = write_convolution(tmp_path / "a.tflite", 1), tmp_path / "cache"
    plain = answer(path, cache)
    (made,) = cache.iterdir()
    for size in (0, 10, made.stat().st_size // 2):
        with made.open("r+b") as file:
            file.truncate(size)
        np.testing.assert_array_equal(answer(path, cache), plain)


def test_what_it_cannot_be_used_for_is_said(tmp_path: Path, tiny: Path, tiny_onnx: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InvalidInput, match=r"weight_cache: .*file"):
        edgewise.load(tiny, weight_cache=tmp_path / "file")
    with pytest.raises(BackendUnavailable, match="onnxruntime has no weight cache"):
        edgewise.load(tiny_onnx, weight_cache=tmp_path / "cache")
    with pytest.raises(InvalidInput, match="got a delegate too"):
        edgewise.load(tiny, weight_cache=tmp_path / "cache", delegate="edgetpu")


def test_a_processor_on_which_compiled_models_end_the_process_is_refused(tmp_path: Path) -> None:
    """Seen on an emulated Raspberry Pi 4."""
    from edgewise.backends.litert_compiled import why_not

    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nFeatures\t: fp asimd evtstrm crc32 cpuid\n")
    assert why_not(tmp_path, cpuinfo, "aarch64") == ""  # no WebGPU library in the package
    (tmp_path / "libLiteRtWebGpuAccelerator.so").write_bytes(b"")
    assert "lacks the LSE instructions" in why_not(tmp_path, cpuinfo, "aarch64")
    assert why_not(tmp_path, cpuinfo, "x86_64") == ""
    cpuinfo.write_text("Features\t: fp asimd aes atomics fphp asimdhp\n")
    assert why_not(tmp_path, cpuinfo, "aarch64") == ""
    assert "LSE" in why_not(tmp_path, tmp_path / "none", "aarch64")
