from pathlib import Path
from typing import Any

import pytest

from edgewise.errors import InvalidInput, SourceError
from edgewise.streams import MicrophoneSource, PicameraSource, VideoSource, WavSource
from edgewise_agent.pipelines.settings import PipelineSettings
from edgewise_agent.pipelines.source_words import SourceWord, sends_pictures
from edgewise_agent.sources.choice import make_source
from edgewise_agent.sources.http_inputs import HttpReceiver
from edgewise_agent.sources.images import PictureFiles
from edgewise_agent.sources.pushed import PushedSource


def source_of(*words: str, base: Path = Path("/data")) -> Any:
    settings = PipelineSettings(model=Path("m"), source=tuple(SourceWord.of(word, base) for word in words))
    return make_source(settings, subscribe=lambda topic: HttpReceiver("127.0.0.1", 0))


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("photos", PictureFiles),
        ("/mnt/usb/not-there-yet", PictureFiles),
        ("one.jpg", PictureFiles),
        ("0", VideoSource),
        ("/dev/video0", VideoSource),
        ("rtsp://cam/1", VideoSource),
        ("picamera:", PicameraSource),
        ("microphone:usb", MicrophoneSource),
        ("mqtt:cameras/+/jpeg", PushedSource),
        ("push:8090", PushedSource),
        ("push:0.0.0.0:8090", PushedSource),
    ],
)
def test_words_mean_sources(word: str, kind: type, tmp_path: Path) -> None:
    if word == "/dev/video0":
        pytest.skip("opened only where there is one") if not Path(word).exists() else None
    assert isinstance(source_of(word), kind)


def test_files_are_told_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    (tmp_path / "a.mp4").touch()
    assert isinstance(source_of("a.wav", base=tmp_path), WavSource)
    assert isinstance(source_of("a.mp4", base=tmp_path), VideoSource)
    assert isinstance(source_of("photos", "b.png", base=tmp_path), PictureFiles)


def test_sensors_are_opened_with_their_source_and_not_before() -> None:
    serial = source_of("serial:/dev/ttyNONE?channels=x,y&rate_hz=50&baud=9600")
    with pytest.raises(SourceError, match="/dev/ttyNONE"):
        serial.open()
    assert serial.read() is None
    serial.close()
    with pytest.raises(SourceError):
        source_of("i2c:mpu-6050?rate_hz=50&bus=99").open()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["none.mp4"], "no such file or folder; expected .* 'mqtt:TOPIC'"),
        (["photos", "0"], "expected one source, or a list of folders and pictures"),
        (["mqtt:"], "expected 'mqtt:TOPIC'"),
        (["push:"], "expected 'push:PORT'"),
        (["push:99999"], "expected 'push:PORT'"),
        (["push::80"], "expected 'push:PORT'"),
        (["serial:/dev/x"], "expected channels=NAME"),
        (["serial:/dev/x?channels=a"], "expected rate_hz=NUMBER"),
        (["serial:/dev/x?channels=a&rate_hz=fast"], "expected rate_hz=NUMBER"),
        (["serial:?channels=a&rate_hz=1"], "expected options of channels"),
        (["serial:/dev/x?chanels=a"], "expected options of channels"),
        (["i2c:bmp280?rate_hz=1"], "expected a chip of mpu-6050"),
    ],
)
def test_words_that_mean_nothing_are_told(words: list[str], expected: str) -> None:
    with pytest.raises((InvalidInput, SourceError), match=expected):
        source_of(*words)


def test_it_is_known_which_words_can_only_be_pictures() -> None:
    assert sends_pictures(["/photos"]) and sends_pictures(["picamera:"]) and sends_pictures(["0"])
    assert not any(
        sends_pictures([word]) for word in ("microphone:", "a.wav", "mqtt:t", "push:1", "i2c:x", "serial:y")
    )
