"""The newest frame and no lag where the source is live, no frame lost and none read ahead where it is not."""

import gc
import threading
import weakref
from pathlib import Path

import pytest
from sdk.stream_parts import COLOURS, Steps, field

import edgewise
from edgewise.errors import SourceError
from edgewise.streams import Frame, Live, SimulatedSource, WavSource

pytestmark = pytest.mark.usefixtures("no_thread_is_left")


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


def test_live_holds_no_frame_but_the_newest() -> None:
    source, seen = Watched(), []
    with Live(source) as live:
        source.asked.acquire()
        for _ in range(20):
            source.give()
            seen.append(source.last)
        gc.collect()
        assert [frame() is not None for frame in seen] == [False] * 19 + [True]
        assert live.dropped == 19


class Watched(Steps):
    """Does not keep its frames alive, and knows which are."""

    def read(self) -> Frame | None:
        frame = super().read()
        if frame is not None:
            self.last = weakref.ref(frame)
        return frame


# Model.stream over a live source


def test_a_slow_model_answers_the_newest_and_says_how_many_it_missed(model: edgewise.Model) -> None:
    """What is answered and what is dropped is all there was."""
    source = Steps()
    stream = model.stream(source, live=True)
    source._allowed.release()
    answered = [next(stream).frame.index]
    source.asked.acquire()
    source.asked.acquire()
    dropped = []
    for come in (4, 1, 7):
        source.give(come)
        result = next(stream)
        answered.append(result.frame.index)
        dropped.append(result.dropped)
        assert result.answer.top.label == COLOURS[result.frame.index % 3]
    assert (answered, dropped) == ([0, 4, 5, 12], [3, 3, 9])
    assert len(answered) + stream.dropped == 13
    for _ in range(2):
        stream.close()
    assert not source.is_open
    assert list(stream) == []


def test_a_live_source_that_ends_has_its_last_frame_answered_and_every_other_counted(
    model: edgewise.Model,
) -> None:
    with model.stream(SimulatedSource(count=300, is_live=True)) as stream:
        answered = [result.frame.index for result in stream]
    assert answered[-1] == 299
    assert answered == sorted(set(answered))
    assert len(answered) + stream.dropped == 300


def test_live_false_answers_every_frame_of_a_camera_and_live_true_drops_frames_of_a_file(
    model: edgewise.Model,
) -> None:
    camera = SimulatedSource(count=40, is_live=True)
    with model.stream(camera, live=False) as stream:
        assert [result.frame.index for result in stream] == list(range(40))
        assert stream.dropped == 0
    file = SimulatedSource([field(index) for index in range(300)])
    with model.stream(file, live=True) as stream:
        answered = [result.frame.index for result in stream]
    assert len(answered) + stream.dropped == 300


# Back-pressure


def test_a_file_is_never_read_ahead_of_whoever_takes_the_answers(model: edgewise.Model) -> None:
    source = Steps()
    stream = model.stream(source)
    for taken in range(1, 6):
        source._allowed.release()
        next(stream)
        assert source.reads == taken  # the next one is asked for when somebody wants its answer
    stream.close()
