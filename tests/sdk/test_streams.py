"""Models over sources: answers in order, the newest frame only, and nothing left open however a loop ends."""

import asyncio
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image
from sdk.test_streams_sources import write_wav

import edgewise
from edgewise.errors import InvalidInput, ShapeMismatch, SourceError
from edgewise.streams import Frame, Live, SimulatedSource, WavSource
from edgewise.tensors import Array

COLOURS = ("red", "green", "blue")


def field(index: int) -> Array:
    """A picture all in one of the colours."""
    image = np.zeros((12, 16, 3), np.uint8)
    image[:, :, index % 3] = 255
    return image


@pytest.fixture
def model(tiny: Path) -> Iterator[edgewise.Model]:
    with edgewise.load(tiny) as opened:
        yield opened


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert [thread for thread in threading.enumerate() if thread not in before] == []


class Steps:
    """A source that gives a frame when it is told to, and says when its reader asks for the next one."""

    name = "steps"
    is_live = False

    def __init__(self, *, fails_at: int | None = None) -> None:
        self.asked = threading.Semaphore(0)
        self._allowed = threading.Semaphore(0)
        self._fails_at = fails_at
        self._count = 0
        self.is_open = False

    def give(self, count: int = 1) -> None:
        """Give that many, and wait until the reader has them all and asks for one more."""
        for _ in range(count):
            self._allowed.release()
            assert self.asked.acquire(timeout=60)

    def open(self) -> None:
        self.is_open = True

    def read(self) -> Frame | None:
        self.asked.release()
        self._allowed.acquire()
        if not self.is_open:
            return None
        index, self._count = self._count, self._count + 1
        if index == self._fails_at:
            raise SourceError("steps: the cable came out")
        return Frame(field(index), index, time.monotonic(), self.name)

    def close(self) -> None:
        self.is_open = False
        self._allowed.release()


# Live


def test_live_gives_the_newest_frame_and_counts_what_it_drops() -> None:
    source = Steps()
    with Live(source) as live:
        source.asked.acquire()
        source.give(5)
        frame = live.read()
        assert frame is not None
        assert (frame.index, live.dropped) == (4, 4)
        source.give(1)
        assert (next(live).index, live.dropped) == (5, 4)
    assert not source.is_open
    assert live.read() is None


def test_live_says_what_it_dropped(caplog: pytest.LogCaptureFixture) -> None:
    source = Steps()
    with caplog.at_level("INFO", "edgewise.streams"), Live(source) as live:
        source.asked.acquire()
        source.give(3)
        assert "2 dropped" in repr(live)
    assert "steps: 2 frames dropped" in caplog.text


def test_an_error_in_the_thread_is_raised_in_the_reader_behind_the_last_frame() -> None:
    source = Steps(fails_at=1)
    with Live(source) as live:
        source.asked.acquire()
        source.give(1)
        source._allowed.release()
        assert next(live).index == 0
        with pytest.raises(SourceError, match="the cable came out"):
            next(live)
        assert live.read() is None


def test_live_opens_and_closes_once_and_again(tmp_path: Path) -> None:
    live = Live(SimulatedSource(count=1))
    with pytest.raises(SourceError, match="before it was opened"):
        live.read()
    for _ in range(2):
        with live:
            live.open()
            assert [frame.index for frame in live] == [0]
        live.close()
    with pytest.raises(SourceError, match="No such file"), Live(WavSource(tmp_path / "no.wav")):
        pass


def test_closing_wakes_a_reader_of_a_live_source() -> None:
    live = Live(SimulatedSource(rate_hz=1e-6))
    live.open()
    assert live.read() is not None
    reader = threading.Thread(target=live.read)
    reader.start()
    live.close()
    reader.join()


# Model.stream


def test_every_frame_of_a_file_gets_its_answer(model: edgewise.Model) -> None:
    source = SimulatedSource([field(index) for index in range(30)])
    results = list(model.stream(source, top=1))
    assert [result.answer.top.label for result in results] == [COLOURS[index % 3] for index in range(30)]
    assert [result.frame.index for result in results] == list(range(30))
    assert {(result.dropped, result.skipped) for result in results} == {(0, 0)}
    assert all(result.latency_ms > 0 for result in results)
    assert len(results[0].answer.categories) == 1


def test_a_slow_consumer_of_a_live_stream_sees_the_newest_and_how_many_it_missed(
    model: edgewise.Model,
) -> None:
    source = Steps()
    stream = model.stream(source, live=True)
    source._allowed.release()
    first = next(stream)
    source.asked.acquire()
    source.asked.acquire()
    source.give(4)
    second = next(stream)
    assert (first.frame.index, first.dropped) == (0, 0)
    assert (second.frame.index, second.dropped, stream.dropped) == (4, 3, 3)
    assert second.answer.top.label == COLOURS[4 % 3]
    stream.close()
    stream.close()
    assert not source.is_open
    assert list(stream) == []


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


# asyncio


def test_astream_answers_while_the_loop_goes_on(model: edgewise.Model) -> None:
    source = Steps()

    async def give() -> None:
        for _ in range(3):
            await asyncio.to_thread(source.give)

    async def main() -> list[str]:
        giver = asyncio.create_task(give())
        labels = []
        async for result in model.astream(source):
            labels.append(result.answer.top.label)
            if len(labels) == 3:
                break
        await giver
        return labels

    source.asked.release()
    assert tuple(asyncio.run(main())) == COLOURS
    assert not source.is_open


def test_an_astream_left_at_the_very_end_of_the_loop_is_closed(model: edgewise.Model) -> None:
    source = SimulatedSource()

    async def main() -> None:
        async for _ in model.astream(source, live=True):
            break

    asyncio.run(main())
    assert source.read() is None


def test_a_cancelled_astream_closes_a_source_that_it_waits_for(model: edgewise.Model) -> None:
    source = SimulatedSource(rate_hz=1e-6)

    async def main() -> None:
        answered = asyncio.Event()

        async def consume() -> None:
            async for _ in model.astream(source):
                answered.set()

        task = asyncio.create_task(consume())
        await answered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert source.read() is None


def test_astream_ends_and_raises_as_stream_does(model: edgewise.Model, tmp_path: Path) -> None:
    async def count(source: SimulatedSource | WavSource) -> int:
        return len([result async for result in model.astream(source)])

    assert asyncio.run(count(SimulatedSource([field(0)] * 4))) == 4
    with pytest.raises(SourceError, match="No such file"):
        asyncio.run(count(WavSource(tmp_path / "no.wav")))
