"""Several models on one budget of threads: never more run at once, and nobody waits for ever."""

from pathlib import Path
from threading import Event, Lock, Thread

import numpy as np
import pytest

import edgewise
from edgewise import InvalidInput, ThreadBudget
from edgewise.opened import OpenedModel
from edgewise.tensors import Array, TensorSpec
from edgewise.testing import FakeBackend, write_tiny_model

SPECS = [TensorSpec("x", (1,), "float32")]


class Watching(FakeBackend):
    """Remembers the most threads that ran while it did."""

    most = 0
    _lock = Lock()

    def __init__(self, budget: ThreadBudget) -> None:
        super().__init__(SPECS, SPECS, [np.zeros(1, np.float32)])
        self._budget = budget

    def run(self, inputs: list[Array], *, views: bool = False) -> list[Array]:  # type: ignore[override]
        with self._lock:
            Watching.most = max(Watching.most, self._budget.running)
        return super().run(inputs, views=views)


@pytest.mark.parametrize("shares", [(4, 4, 4), (2, 2, 2), (1, 3, 4, 2)])
def test_running_calls_never_take_more_threads_than_there_are(tiny: Path, shares: tuple[int, ...]) -> None:
    budget, file = ThreadBudget(4), edgewise.read_model(tiny)
    bare = edgewise.ModelFile(file.path, file.format, file.size_bytes)
    models = [OpenedModel(bare, Watching(budget), share=budget.share(share)) for share in shares]
    Watching.most = 0

    def work(model: OpenedModel) -> None:
        for _ in range(200):
            model.run(np.zeros(1, np.float32))

    threads = [Thread(target=work, args=[model]) for model in models for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0 < Watching.most <= 4
    assert budget.running == 0


def test_a_wide_call_is_not_overtaken_for_ever_by_narrow_ones() -> None:
    budget = ThreadBudget(2)
    narrow, wide = budget.share(1), budget.share(2)
    is_done = Event()

    def take_wide() -> None:
        with wide:
            is_done.set()

    with narrow:
        waiting = Thread(target=take_wide)
        waiting.start()
        while not budget._waiting:
            pass
        overtaking = Thread(target=lambda: narrow.__enter__())  # would fit, and comes later
        overtaking.start()
        overtaking.join(0.05)
        assert overtaking.is_alive()
    waiting.join()
    overtaking.join()
    assert is_done.is_set()
    assert budget.running == 1


def test_models_of_one_budget_answer_as_they_do_alone(tmp_path: Path) -> None:
    budget = ThreadBudget(2)
    for name in ("a.tflite", "a.onnx"):
        path = write_tiny_model(tmp_path / name)
        shape = (1, 8, 8, 3) if name.endswith("tflite") else (1, 3, 8, 8)
        x = np.random.default_rng(0).random(shape, np.float32)
        with edgewise.load(path, threads=budget) as shared, edgewise.load(path, threads=2) as alone:
            np.testing.assert_array_equal(shared.run(x)["scores"], alone.run(x)["scores"])
        with edgewise.load(path, threads=budget.share(1), probe=True) as shared:
            assert shared.run(x)["scores"].shape == (1, 3)
    assert budget.running == 0


def test_a_failing_call_gives_its_threads_back(tiny: Path) -> None:
    budget = ThreadBudget(1)
    with edgewise.load(tiny, threads=budget) as model:
        with pytest.raises(InvalidInput):
            model.run(np.zeros((1, 9, 9, 3), np.float32))
        assert budget.running == 0
        assert model.run(np.zeros((1, 8, 8, 3), np.float32))


def test_a_model_may_be_dropped_while_another_call_holds_all_threads(tiny: Path) -> None:
    """The garbage collector closes it, in whichever thread, and must not wait for threads."""
    budget = ThreadBudget(1)
    model = edgewise.load(tiny, threads=budget)
    with budget.share(1):
        model.close()


@pytest.mark.parametrize(("threads", "share"), [(0, 1), (2, 0), (2, 3)])
def test_threads_that_cannot_be_are_refused(threads: int, share: int) -> None:
    with pytest.raises(InvalidInput, match="threads: got"):
        ThreadBudget(threads).share(share)
