"""Models over sources: answers in order, the newest frame only, and nothing left open however a loop ends."""

import signal
import threading
from pathlib import Path
from threading import Event

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image
from sdk.stream_parts import COLOURS, Steps, field
from sdk.test_streams_sources import write_wav

import edgewise
from edgewise.errors import InvalidInput, ShapeMismatch
from edgewise.streams import SimulatedSource, WavSource

pytestmark = pytest.mark.usefixtures("no_thread_is_left")


# Model.stream


def test_every_frame_of_a_file_gets_its_answer(model: edgewise.Model) -> None:
    source = SimulatedSource([field(index) for index in range(30)])
    results = list(model.stream(source, top=1))
    assert [result.answer.top.label for result in results] == [COLOURS[index % 3] for index in range(30)]
    assert [result.frame.index for result in results] == list(range(30))
    assert {(result.dropped, result.skipped) for result in results} == {(0, 0)}
    assert all(result.latency_ms > 0 for result in results)
    assert len(results[0].answer.categories) == 1


def test_pictures_that_cannot_be_read_are_skipped_and_counted(
    model: edgewise.Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.new("RGB", (16, 16), "blue").save(folder / "b.png")
    (folder / "a.png").write_bytes((folder / "b.png").read_bytes()[:50])
    (folder / "c.jpg").write_text("no picture")
    with model.stream(folder) as stream:
        (result,) = stream
        assert (result.answer.top.label, result.skipped, stream.skipped) == ("blue", 1, 2)
    assert "a.png" in caplog.text
    assert "c.jpg" in caplog.text


def test_pictures_written_meanwhile_are_answered(model: edgewise.Model, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    answered = Event()

    def write() -> None:
        for index in range(3):
            Image.fromarray(field(index)).save(folder / f"{index}.png")
            assert answered.wait(60)
            answered.clear()

    writer = threading.Thread(target=write)
    writer.start()
    labels = []
    source = edgewise.streams.FolderSource(folder, watch=True, poll_s=0.01)
    for result in model.stream(source):
        labels.append(result.answer.top.label)
        answered.set()
        if len(labels) == 3:
            break
    writer.join()
    assert tuple(labels) == COLOURS


@pytest.mark.parametrize("live", [False, True])
def test_break_closes_the_source(model: edgewise.Model, live: bool) -> None:
    source = SimulatedSource()
    for _ in model.stream(source, live=live):
        break
    assert source.read() is None
    assert model.predict(field(0)).top.label == "red"


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_ctrl_c_and_errors_close_the_source(
    model: edgewise.Model, live: bool, error: type[BaseException]
) -> None:
    source = SimulatedSource()
    with pytest.raises(error):
        for _ in model.stream(source, live=live):
            raise error
    assert source.read() is None


@pytest.mark.parametrize("live", [False, True])
def test_ctrl_c_ends_the_waiting_for_a_frame(model: edgewise.Model, live: bool) -> None:
    source = SimulatedSource(rate_hz=1e-6)
    is_answered = Event()

    def press() -> None:
        assert is_answered.wait(60)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    presser = threading.Thread(target=press)
    presser.start()
    with pytest.raises(KeyboardInterrupt):
        for _ in model.stream(source, live=live):
            is_answered.set()
    presser.join()
    assert source.read() is None


def test_a_stream_is_ended_from_another_thread(model: edgewise.Model) -> None:
    stream = model.stream(SimulatedSource(rate_hz=1e-6))
    next(stream)
    stopper = threading.Thread(target=stream.stop)
    stopper.start()
    assert list(stream) == []
    stopper.join()


def test_a_stream_that_nobody_reads_opens_nothing(model: edgewise.Model) -> None:
    source = Steps()
    model.stream(source).close()
    assert not source.is_open
    with pytest.raises(InvalidInput, match="source: got None"):
        model.stream(None)  # type: ignore[arg-type]


# Sound and states


def save_model(path: Path, operator: str, names: tuple[str, ...], shape: list[int | str]) -> Path:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in names]
    graph = helper.make_graph([helper.make_node(operator, names[:-1], names[-1:])], "g", ends[:-1], ends[-1:])
    opset = helper.make_opsetid("", 13)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path)
    return path


@pytest.fixture
def quarters(tmp_path: Path) -> Path:
    """Five samples: a quarter, a half, and a quarter three times."""
    levels = [0x2000, 0x4000, 0x2000, 0x2000, 0x2000]
    return write_wav(tmp_path / "v.wav", np.array(levels, "<i2").tobytes(), width=2)


def test_a_recurrent_model_remembers_within_one_stream_only(tmp_path: Path, quarters: Path) -> None:
    path = save_model(tmp_path / "sums.onnx", "Add", ("x", "sum_in", "sum_out"), [1, 2])
    with edgewise.load(path) as model:
        for _ in range(2):
            stream = model.stream(str(quarters))
            assert [result.answer for result in stream] == [{}, {}, {}]
            state = stream._run._answering._state
            assert state is not None
            assert state.arrays["sum_in"].tolist() == [[0.75, 0.75]]


def test_sound_goes_through_a_model_in_blocks_of_its_input(tmp_path: Path, quarters: Path) -> None:
    with edgewise.load(save_model(tmp_path / "neg.onnx", "Neg", ("x", "y"), [1, 2])) as model:
        answers = [result.answer["y"].tolist() for result in model.stream(quarters)]
        assert answers == [[[-0.25, -0.5]], [[-0.25, -0.25]], [[-0.25, 0]]]
        with pytest.raises(ShapeMismatch, match=r"blocks of 3 samples, input 'x' expects \(1, 2\)"):
            list(model.stream(WavSource(quarters, block_samples=3)))
    with edgewise.load(save_model(tmp_path / "open.onnx", "Neg", ("x", "y"), ["b", "n"])) as model:
        (result,) = model.stream(WavSource(quarters, block_samples=5))
        assert result.answer["y"].shape == (1, 5)


def test_a_model_with_two_inputs_for_sound_says_to_call_run(tmp_path: Path, quarters: Path) -> None:
    path = save_model(tmp_path / "two.onnx", "Less", ("a", "b", "y"), [2])
    model_proto = onnx.load(path)
    model_proto.graph.output[0].type.tensor_type.elem_type = TensorProto.BOOL
    onnx.save(model_proto, path)
    with (
        edgewise.load(path) as model,
        pytest.raises(InvalidInput, match=r"inputs 'a', 'b', expected one.*call run\(\)"),
    ):
        list(model.stream(quarters))
