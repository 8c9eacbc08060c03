"""Warming up runs the model as often as asked, and leaves no trace in what it remembers."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, save

import edgewise
from edgewise import InvalidInput
from edgewise.opened import OpenedModel
from edgewise.tensors import TensorSpec
from edgewise.testing import FakeBackend


class Summing(FakeBackend):
    """Remembers, inside, how often it was run, and can forget it unless told otherwise."""

    forgetful = True

    def can_forget(self) -> bool:
        return self.forgetful

    def forget(self) -> None:
        self.calls.clear()


def opened(tiny: Path, backend: FakeBackend) -> OpenedModel:
    """Under a file without a card."""
    return OpenedModel(edgewise.ModelFile(tiny, "tflite", 1), backend)


@pytest.fixture
def specs() -> list[TensorSpec]:
    """One input, of open length."""
    return [TensorSpec("x", (-1, 2), "float32")]


def test_it_runs_as_often_as_asked_on_zeros_with_open_sizes_one(tiny: Path, specs: list[TensorSpec]) -> None:
    backend = FakeBackend(specs, specs, [np.zeros((1, 2), np.float32)])
    opened(tiny, backend).warm_up(3)
    assert [call[0].tolist() for call in backend.calls] == [[[0, 0]]] * 3


def test_what_the_runtime_remembers_is_forgotten(tiny: Path, specs: list[TensorSpec]) -> None:
    backend = Summing(specs, specs, [np.zeros((1, 2), np.float32)])
    model = opened(tiny, backend)
    model.warm_up(2)
    assert backend.calls == []
    backend.forgetful = False
    with pytest.raises(InvalidInput, match="it keeps variables of its own"):
        model.warm_up(1)
    assert backend.calls == []


def test_a_recurrent_state_stays_as_it_is(tmp_path: Path) -> None:
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("x", "sum_in", "sum_out")
    ]
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "sum_in"], ["sum_out"])], "sums", ends[:2], ends[2:]
    )
    save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8),
        tmp_path / "a.onnx",
    )
    with edgewise.load(tmp_path / "a.onnx", warm_up=2) as model:
        state = model.new_state()
        model.run(np.ones(2, np.float32), state=state)
        model.warm_up(3)
        assert state.arrays["sum_in"].tolist() == [1, 1]


@pytest.mark.parametrize("backend", ["litert", "tflite-runtime"])
def test_a_warm_model_answers_as_a_cold_one(tiny: Path, backend: str) -> None:
    if edgewise.backends.available()[backend]:
        pytest.skip("not here")
    x = np.random.default_rng(0).random((1, 8, 8, 3), np.float32)
    with (
        edgewise.load(tiny, backend=backend, warm_up=1) as warm,
        edgewise.load(tiny, backend=backend) as cold,
    ):
        np.testing.assert_array_equal(warm.run(x)["scores"], cold.run(x)["scores"])


def test_runs_that_make_no_sense_are_refused(tiny: Path) -> None:
    with pytest.raises(InvalidInput, match="warm_up: got -1 runs"):
        edgewise.load(tiny, warm_up=-1)
