"""Folders, WAV files, simulated frames, and cameras by way of captures that stand in for their libraries."""

import wave
from collections.abc import Sequence
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image

import edgewise
from edgewise.errors import InvalidInput, SourceError
from edgewise.streams import (
    FolderSource,
    Frame,
    MicrophoneSource,
    PicameraSource,
    SimulatedSource,
    VideoSource,
    WavSource,
    open_source,
)
from edgewise.streams.picture_end import is_whole
from edgewise.tensors import FloatArray

NEVER_S = 3600.0
"""So long that a test which waited for it would not end."""


def save_png(path: Path, colour: str = "lime") -> bytes:
    Image.new("RGB", (16, 12), colour).save(path)
    return path.read_bytes()


def names(frames: Sequence[Frame]) -> list[str]:
    return [Path(str(frame.image)).name for frame in frames]


# Folders


def test_a_folder_gives_its_pictures_by_name_and_leaves_out_the_rest(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.png", ".hidden.png"):
        save_png(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    with FolderSource(tmp_path) as source:
        frames = list(source)
        assert source.read() is None
    assert names(frames) == ["a.png", "b.PNG"]
    assert [frame.index for frame in frames] == [0, 1]
    assert frames[0].source == str(tmp_path)
    assert 0 < frames[0].time_s <= frames[1].time_s


def test_an_opened_source_begins_anew_after_closing(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png")
    source = FolderSource(tmp_path)
    for _ in range(2):
        with source:
            assert [frame.index for frame in source] == [0]
    assert source.read() is None


def test_a_missing_folder_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="expected a folder of pictures"), FolderSource(tmp_path / "no"):
        pass


def test_reading_before_opening_says_to_open(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="before it was opened"):
        FolderSource(tmp_path).read()


def test_watching_waits_until_a_picture_is_completely_written(tmp_path: Path) -> None:
    whole = save_png(tmp_path / "template.png")
    (tmp_path / "template.png").unlink()
    with FolderSource(tmp_path, watch=True, poll_s=0.01, settle_s=NEVER_S) as source:
        with (tmp_path / "a.png").open("wb") as half:
            half.write(whole[: len(whole) // 2])
            half.flush()
            (tmp_path / "b.png").write_bytes(whole)
            assert names([next(source)]) == ["b.png"]
            half.write(whole[len(whole) // 2 :])
        assert names([next(source)]) == ["a.png"]


def test_watching_gives_a_picture_again_that_is_written_anew(tmp_path: Path) -> None:
    save_png(tmp_path / "latest.png")
    with FolderSource(tmp_path, watch=True, poll_s=0.01) as source:
        first = next(source)
        save_png(tmp_path / ".next.png", "red")
        (tmp_path / ".next.png").rename(tmp_path / "latest.png")
        assert names([first, next(source)]) == ["latest.png"] * 2


def test_a_format_without_an_end_mark_is_given_once_it_has_settled(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.bmp")
    assert not is_whole(tmp_path / "a.bmp")
    with FolderSource(tmp_path, watch=True, poll_s=0.01, settle_s=0.02) as source:
        assert names([next(source)]) == ["a.bmp"]


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif"])
def test_the_end_of_a_picture_is_known(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.effect_noise((64, 64), 80).save(path)
    assert is_whole(path)
    path.write_bytes(path.read_bytes()[:-100])
    assert not is_whole(path)
    assert not is_whole(tmp_path / "missing.jpg")


def test_closing_from_another_thread_ends_a_read_that_waits(tmp_path: Path) -> None:
    source = FolderSource(tmp_path, watch=True, poll_s=NEVER_S)
    source.open()
    got: list[Frame | None] = []
    reader = Thread(target=lambda: got.append(source.read()))
    reader.start()
    source.close()
    reader.join()
    assert got == [None]


# Sound


def write_wav(path: Path, data: bytes, *, width: int, channels: int = 1, rate_hz: int = 8000) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate_hz)
        file.writeframes(data)
    return path


LEVELS = (-1.0, -0.5, 0.0, 0.25, 0.5)
"""Exact in every width."""


def encode(levels: Sequence[float], width: int) -> bytes:
    if width == 1:
        return bytes(round(level * 128) + 128 for level in levels)
    scale = 1 << (8 * width - 1)
    return b"".join(round(level * scale).to_bytes(width, "little", signed=True) for level in levels)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_samples_of_every_width_are_the_numbers_they_stand_for(tmp_path: Path, width: int) -> None:
    path = write_wav(tmp_path / "voice.wav", encode(LEVELS, width), width=width)
    with WavSource(path, block_samples=4) as source:
        first, last = source
    assert (first.samples.dtype, first.sample_rate_hz, last.index) == (np.float32, 8000, 1)
    assert first.samples.tolist() == list(LEVELS[:4])
    assert last.samples.tolist() == [LEVELS[4], 0, 0, 0]


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_channels_are_averaged(tmp_path: Path, width: int) -> None:
    data = encode([0.5, -0.25, -0.25, 1 - 2.0, 0.5, 0.5], width)
    with WavSource(write_wav(tmp_path / "3.wav", data, width=width, channels=3), block_samples=2) as source:
        assert next(source).samples.tolist() == [0, 0]


def test_a_file_that_is_no_wav_says_how_to_convert_it(tmp_path: Path) -> None:
    (tmp_path / "song.wav").write_bytes(b"ID3 and so on")
    (tmp_path / "empty.wav").touch()
    for name in ("song.wav", "empty.wav"):
        with pytest.raises(SourceError, match=r"no WAV of integers.*ffmpeg"), WavSource(tmp_path / name):
            pass
    with pytest.raises(SourceError, match="No such file"), WavSource(tmp_path / "missing.wav"):
        pass
    with pytest.raises(InvalidInput, match="block_samples: got 0"):
        WavSource(tmp_path / "song.wav", block_samples=0)


def test_a_cut_off_wav_gives_the_whole_samples_it_holds(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "cut.wav", encode(LEVELS, 2), width=2)
    path.write_bytes(path.read_bytes()[:-3])
    with WavSource(path, block_samples=8) as source:
        assert [block.samples.tolist() for block in source] == [[*LEVELS[:3], 0, 0, 0, 0, 0]]


class ThreeReads:
    """A recorder that loses sound before its second block."""

    def __init__(self) -> None:
        self.reads = 0
        self.is_open = True

    def read(self, count: int) -> tuple[FloatArray, bool]:
        self.reads += 1
        return np.full(count, self.reads, np.float32), self.reads == 2

    def close(self) -> None:
        self.is_open = False


def test_a_microphone_counts_the_gaps() -> None:
    recorder = ThreeReads()
    with MicrophoneSource(sample_rate_hz=8000, block_samples=3, opener=lambda *_: recorder) as source:
        blocks = [next(source) for _ in range(3)]
    assert [block.samples.tolist() for block in blocks] == [[1] * 3, [2] * 3, [3] * 3]
    assert (source.dropped, recorder.is_open, blocks[0].sample_rate_hz) == (1, False, 8000)


# Simulated frames


def test_simulated_frames_are_made_or_taken_from_a_list(tmp_path: Path) -> None:
    with SimulatedSource(count=2, size_wh=(3, 2), rate_hz=1000) as source:
        first, second = source
    assert np.array_equal(first.image, np.zeros((2, 3, 3)))  # type: ignore[arg-type]
    assert np.array_equal(second.image, np.ones((2, 3, 3)))  # type: ignore[arg-type]
    with SimulatedSource([tmp_path / "a.png"]) as source:
        assert [frame.image for frame in source] == [tmp_path / "a.png"]
    for wrong in ({"rate_hz": 0}, {"size_wh": (0, 1)}, {"count": -1}):
        with pytest.raises(InvalidInput, match="expected"):
            SimulatedSource(**wrong)  # type: ignore[arg-type]  # keywords by name, checked when called


# Which source


def test_open_source_chooses(tmp_path: Path) -> None:
    for name in ("voice.wav", "clip.mp4", "one.jpg"):
        (tmp_path / name).touch()
    simulated = SimulatedSource()
    chosen = {
        str(tmp_path): FolderSource,
        str(tmp_path / "voice.wav"): WavSource,
        str(tmp_path / "clip.mp4"): VideoSource,
        "rtsp://door/1": VideoSource,
        "2": VideoSource,
        "picamera:": PicameraSource,
        "picamera:1": PicameraSource,
        "microphone:": MicrophoneSource,
        "microphone:USB": MicrophoneSource,
    }
    for what, kind in chosen.items():
        assert type(open_source(what)) is kind, what
    assert type(open_source(tmp_path)) is FolderSource
    assert open_source(0).name == "0"
    assert open_source("picamera:1").name == "picamera:1"
    assert open_source(simulated) is simulated


def test_open_source_says_what_it_takes(tmp_path: Path) -> None:
    (tmp_path / "one.jpg").touch()
    with pytest.raises(InvalidInput, match=r"got one picture.*predict\(\)"):
        open_source(tmp_path / "one.jpg")
    with pytest.raises(SourceError, match="no such file or folder; expected a folder"):
        open_source(tmp_path / "missing")
    for wrong in (True, -1, 1.5, None):
        with pytest.raises(InvalidInput, match="expected a folder of pictures"):
            open_source(wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="got ftp://, expected one of rtsp"):
        open_source("ftp://door/1")
    with pytest.raises(InvalidInput, match="expected picamera: or picamera:NUMBER"):
        open_source("picamera:front")
    assert issubclass(edgewise.SourceError, RuntimeError)
