"""Sensors as sources: every row in order, gaps counted and never bridged, junk on serial lines left out."""

import io
import os
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sdk.test_series import SPEC, series, write_more

import edgewise
from edgewise.errors import InvalidInput, SourceError
from edgewise.streams import SensorBlock, SensorSource, SerialLines, SimulatedSensor
from edgewise.streams.clock import SimulatedClock
from edgewise.streams.serial_lines import parse_line
from edgewise.streams.windows import SeriesWindows
from edgewise.tensors import Array


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("edgewise ")] == []


class Rows:
    """A sensor that gives the rows of an array, and says whether it was closed."""

    def __init__(self, rows: Array) -> None:
        self._rows = iter(rows.tolist())
        self.is_closed = False

    def read(self) -> list[float] | None:
        return next(self._rows, None)

    def close(self) -> None:
        self.is_closed = True


def collected(source: SensorSource) -> list[SensorBlock]:
    with source:
        return list(source)


def test_every_row_comes_once_and_in_order_and_the_sensor_is_closed() -> None:
    rows, sensor = series(25), Rows(series(25))
    source = SensorSource(sensor, rate_hz=5000, channels=("x", "y"), block_samples=10, is_paced=False)
    blocks = collected(source)
    assert np.array_equal(np.concatenate([block.samples for block in blocks]), rows)
    assert [len(block.samples) for block in blocks] == [10, 10, 5]
    assert [block.index for block in blocks] == [0, 1, 2]
    assert blocks[0].samples.dtype == np.float32
    assert (source.missed, source.late, sensor.is_closed) == (0, 0, True)


def test_rows_are_read_when_they_are_due() -> None:
    clock, times = SimulatedClock(), []

    def read() -> float | None:
        times.append(clock.time_s())
        return float(len(times)) if len(times) <= 20 else None

    source = SensorSource(read, rate_hz=200, channels=("x",), clock=clock)
    blocks = collected(source)
    assert np.concatenate([block.samples for block in blocks])[:, 0].tolist() == list(range(1, 21))
    assert times == pytest.approx([place / 200 for place in range(21)])
    assert (blocks[0].time_s, source.late, source.missed) == (times[19], 0, 0)


def read_with_a_pause(pause_s: float) -> tuple[SensorSource, list[SensorBlock], list[float]]:
    """Twelve rows at 40 Hz; reading the fifth, due at 0.1 s, takes so long."""
    clock, times = SimulatedClock(), []

    def read() -> float | None:
        times.append(clock.time_s())
        if len(times) == 5:
            clock.advance(pause_s)
        return float(len(times)) if len(times) <= 12 else None

    source = SensorSource(read, rate_hz=40, channels=("x",), block_samples=4, clock=clock)
    return source, collected(source), times


def test_a_read_that_takes_several_periods_is_a_gap_that_is_counted_and_ends_a_block() -> None:
    source, blocks, times = read_with_a_pause(0.26)
    # At 0.36 s rows 5 to 14 are due: nine are skipped, the last is read at once, and the pace is kept.
    assert (source.missed, source.late) == (9, 1)
    assert times[5:8] == pytest.approx([0.36, 0.375, 0.4])
    assert [(len(block.samples), block.missed) for block in blocks] == [(4, 0), (1, 0), (4, 9), (3, 0)]
    assert blocks[2].samples[0, 0] == 6
    assert np.concatenate([block.samples for block in blocks])[:, 0].tolist() == list(range(1, 13))


@pytest.mark.parametrize(("pause_s", "late"), [(0.02, 0), (0.03, 0), (0.04, 1)])
def test_a_read_half_a_period_after_its_time_is_late_and_nothing_is_missed(pause_s: float, late: int) -> None:
    source, blocks, _ = read_with_a_pause(pause_s)
    assert (source.late, source.missed) == (late, 0)
    assert [len(block.samples) for block in blocks] == [4, 4, 4]


def test_what_a_busy_reader_leaves_no_room_for_is_missed() -> None:
    sensor = Rows(np.arange(100.0)[:, np.newaxis])
    source = SensorSource(
        sensor, rate_hz=1, channels=("x",), block_samples=5, is_paced=False
    )  # keeps ten rows
    with source:
        while source.missed < 90:
            time.sleep(0.01)
        blocks = list(source)
    assert np.concatenate([block.samples for block in blocks])[:, 0].tolist() == list(range(10))


def test_no_window_spans_a_gap() -> None:
    whole = series(30)
    windows = SeriesWindows(SPEC)
    parts = [(whole[:10], 0), (whole[10:20], 4), (whole[20:], 0)]
    found = [
        window
        for index, (rows, missed) in enumerate(parts)
        for window in windows.push(SensorBlock(rows, 50, index, 0.0, "sensor", missed))
    ]
    starts = [0, *range(10, 23, 3)]
    assert np.array_equal(found, [whole[start : start + 8] for start in starts])


def test_a_model_answers_the_windows_of_a_sensor(tmp_path: Path) -> None:
    whole = series(40)
    source = SensorSource(Rows(whole), rate_hz=50, channels=("x", "y"), block_samples=7, is_paced=False)
    with edgewise.load(write_more(tmp_path / "a.onnx")) as model:
        want = [model.predict(whole[start : start + 8]).top for start in range(0, 33, 3)]
        assert [result.answer.top for result in model.stream(source)] == want
        wrong = SimulatedSensor(whole, rate_hz=100, channels=("x", "y"))
        with pytest.raises(InvalidInput, match="got 100 Hz, the model takes 50; measure at that rate"):
            list(model.stream(wrong))


def test_what_goes_wrong_in_the_thread_is_raised_behind_the_rows_before_it() -> None:
    def broken() -> list[float]:
        raise OSError(121, "Remote I/O error")

    with (
        SensorSource(broken, rate_hz=100, channels=("x",), name="imu") as source,
        pytest.raises(SourceError, match=r"imu: it cannot be read: .*Remote I/O error; check its wires"),
    ):
        source.read()
    with (
        SensorSource(lambda: [1, 2], rate_hz=100, channels=("x", "y", "z")) as source,
        pytest.raises(SourceError, match=r"sensor: read\(\) gave 2 numbers, expected 3: x, y, z"),
    ):
        source.read()


def test_a_reader_that_waits_ends_when_the_source_is_closed() -> None:
    source = SensorSource(lambda: (), rate_hz=100, channels=("x",), is_paced=False)
    source.open()
    timer = threading.Timer(0.1, source.close)
    timer.start()
    assert source.read() is None
    timer.join()


@pytest.mark.parametrize(
    "options",
    [
        {"rate_hz": 0, "channels": ("x",)},
        {"rate_hz": 9, "channels": ()},
        {"rate_hz": float("nan"), "channels": ("x",)},
    ],
)
def test_rates_and_channels_that_make_no_sense_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match="expected a positive rate, at least one channel"):
        SensorSource(lambda: None, **options)  # type: ignore[arg-type]  # mypy types no lambda with a default
    with pytest.raises(InvalidInput, match="rate_hz, block_samples: got 0"):
        SimulatedSensor(series(3), rate_hz=0, channels=("x", "y"))


LINES = b"boot v1.2\r\nax,ay\r\n1,2\r\n3;4\n\n5\t6\nnan,1\n7,8,9\n\xff\xfe,1\n1e400,2\n 9 , 10 \n11,12"


def test_lines_of_numbers_are_rows_and_the_rest_is_junk() -> None:
    lines = SerialLines(io.BytesIO(LINES), channels=2, is_endless=False)
    source = SensorSource(lines, rate_hz=100, channels=("ax", "ay"), is_paced=False)
    (block,) = collected(source)
    assert block.samples.tolist() == [[1, 2], [3, 4], [5, 6], [9, 10], [11, 12]]
    assert lines.junk == 7


@given(st.binary(max_size=200))
def test_no_bytes_whatever_break_the_parser(line: bytes) -> None:
    numbers = parse_line(line, 2)
    assert len(numbers) in (0, 2)
    assert np.isfinite(numbers).all()


class Timing:
    """A port whose timeout comes in the middle of lines."""

    def __init__(self, *parts: bytes) -> None:
        self._parts = list(parts)

    def readline(self, limit: int, /) -> bytes:
        return self._parts.pop(0) if self._parts else b""

    def close(self) -> None:
        self._parts.clear()


def test_a_line_that_a_timeout_divides_is_one_line() -> None:
    lines = SerialLines(Timing(b"1,", b"", b"2\n", b"x" * 5000, b"3,4\n"), channels=2)
    assert [lines.read() for _ in range(5)] == [(), (), (1, 2), (), (3, 4)]
    assert lines.junk == 1


def test_a_serial_port_is_read_by_pyserial() -> None:
    """A pseudo-terminal stands for the port; the library is asked for in an environment of its own."""
    from model_sources.environments import environment

    python = environment("pyserial", ["pyserial==3.5", "numpy<2"])
    master, slave = os.openpty()
    tty.setraw(slave)
    code = (
        "from edgewise.streams import SensorSource, SerialLines\n"
        f"lines = SerialLines.open({os.ttyname(slave)!r}, channels=2)\n"
        "with SensorSource(lines, rate_hz=50, channels=('x', 'y'), block_samples=3, is_paced=False) as source:\n"
        "    print('ready', flush=True)\n"
        "    print(source.read().samples.tolist(), lines.junk)\n"
    )
    folder = str(Path(edgewise.__file__).parents[1])
    words = [str(python), "-c", code]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": folder}, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        os.write(master, b"hello\n1,2\n3,4\n5,6\n")
        assert process.stdout.readline() == "[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]] 1\n"
    os.close(master)
    os.close(slave)


def test_without_pyserial_the_error_says_how_to_install_it() -> None:
    code = (
        "import sys; sys.modules['serial'] = None\n"
        "from edgewise.streams import SerialLines\n"
        "from edgewise.errors import SourceError\n"
        "try: SerialLines.open('/dev/ttyACM0', channels=2)\n"
        "except SourceError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "/dev/ttyACM0: serial lines are read by pyserial" in done.stdout
    assert "pip install pyserial" in done.stdout
