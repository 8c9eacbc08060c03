"""Videos, cameras and network streams: by captures that stand in for their libraries, and by OpenCV itself."""

import contextlib
import importlib.util
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from threading import Thread

import cv2
import numpy as np
import pytest
from PIL import Image

import edgewise
from edgewise.errors import SourceError
from edgewise.streams import MicrophoneSource, PicameraSource, VideoSource
from edgewise.tensors import Array

NEVER_S = 3600.0
"""So long that a test which waited for it would not end."""
LOSSY = 40
"""Of 255: how far a flat colour may be off behind MPEG-4 in 4:2:0."""


class FakeCapture:
    """So many pictures, and then an end or an error."""

    def __init__(self, count: int, error: str = "") -> None:
        self.left, self.error = count, error
        self.is_open = True

    def read(self) -> Array | None:
        self.left -= 1
        if self.left >= 0:
            return np.zeros((2, 2, 3), np.uint8)
        if self.error:
            raise SourceError(self.error)
        return None

    def close(self) -> None:
        self.is_open = False


def test_a_video_file_ends_and_is_not_live() -> None:
    capture = FakeCapture(2)
    source = VideoSource("clip.mp4", opener=lambda _: capture)
    with source:
        assert [frame.index for frame in source] == [0, 1]
    assert not source.is_live
    assert not capture.is_open


def test_a_camera_that_goes_away_is_an_error() -> None:
    with VideoSource(0, opener=lambda _: FakeCapture(1)) as source:
        next(source)
        with pytest.raises(SourceError, match="0: the camera gives no more pictures"):
            next(source)
    with (
        PicameraSource(opener=lambda *_: FakeCapture(0)) as module,
        pytest.raises(SourceError, match="picamera:0"),
    ):
        next(module)
    assert source.is_live
    assert module.is_live


def test_a_broken_rtsp_stream_is_opened_again_and_no_password_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    url = "rtsp://me:secret@door/1"
    captures = [FakeCapture(1), FakeCapture(0, f"{url}: broken"), FakeCapture(2)]
    opened: list[FakeCapture] = []

    def opener(_: str | int) -> FakeCapture:
        opened.append(captures[len(opened)])
        return opened[-1]

    with VideoSource(url, back_off_s=[0.0], opener=opener) as source:
        assert [next(source).index for _ in range(3)] == [0, 1, 2]
        assert [capture.is_open for capture in opened] == [False, False, True]
        assert source.reconnects == 1
    assert "the stream broke" in caplog.text
    assert "secret" not in caplog.text + repr(source)


def test_closing_ends_the_waiting_for_a_broken_stream() -> None:
    source = VideoSource("rtsp://door/1", back_off_s=[NEVER_S], opener=lambda _: FakeCapture(0))
    source.open()
    reader = Thread(target=source.read)
    reader.start()
    source.close()
    reader.join()


def is_missing(module: str) -> bool:
    return importlib.util.find_spec(module) is None


# OpenCV

COLOURS_RGB = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0))


def write_video(path: Path, code: str, size_wh: tuple[int, int] = (64, 48)) -> Path:
    """Five frames, each in one of the colours."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), 10, size_wh)
    assert writer.isOpened()
    for red, green, blue in COLOURS_RGB:
        writer.write(np.full((size_wh[1], size_wh[0], 3), (blue, green, red), np.uint8))
    writer.release()
    return path


@pytest.mark.parametrize(("name", "code"), [("clip.avi", "MJPG"), ("clip.mp4", "mp4v")])
def test_opencv_reads_every_frame_of_a_video_in_rgb(tmp_path: Path, name: str, code: str) -> None:
    source = VideoSource(write_video(tmp_path / name, code))
    for _ in range(2):  # closed and opened again, it begins anew
        with source:
            frames = list(source)
        assert [frame.index for frame in frames] == list(range(len(COLOURS_RGB)))
        for frame, colour in zip(frames, COLOURS_RGB, strict=True):
            image = np.asarray(frame.image)
            assert (image.shape, image.dtype, image.flags.c_contiguous) == ((48, 64, 3), np.uint8, True)
            assert np.abs(image.reshape(-1, 3).mean(axis=0) - colour).max() < LOSSY


def test_a_video_goes_through_a_model_without_a_dropped_frame(tiny: Path, tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", "mp4v")
    with edgewise.load(tiny) as model, model.stream(str(path)) as results:
        labels = [result.answer.top.label for result in results]
        assert results.dropped == 0
    assert labels[:3] == ["red", "green", "blue"]
    assert len(labels) == len(COLOURS_RGB)


def test_a_video_that_is_cut_off_ends_early_and_is_no_crash(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "clip.avi", "MJPG", (640, 480)).read_bytes()
    path = tmp_path / "cut.avi"
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with VideoSource(path) as source:
        assert 0 < len(list(source)) < len(COLOURS_RGB)


def test_without_opencv_all_else_works_and_the_error_names_what_to_install(tiny: Path) -> None:
    code = f"""
import sys
sys.modules["cv2"] = None
import importlib, pkgutil
import edgewise
from edgewise.streams import SimulatedSource, VideoSource
for module in pkgutil.walk_packages(edgewise.__path__, "edgewise."):
    if not module.name.endswith("_main"):
        importlib.import_module(module.name)
with edgewise.load({str(tiny)!r}) as model:
    print(len(list(model.stream(SimulatedSource(count=3)))))
try:
    VideoSource("rtsp://me:secret@door/1").open()
except edgewise.SourceError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    count, message = done.stdout.splitlines()
    assert count == "3"
    assert message.startswith(
        "rtsp://...@door/1: videos and cameras are read by OpenCV, which is not installed"
    )
    assert "pip install opencv-python-headless" in message


class TenPictures(BaseHTTPRequestHandler):
    """An HTTP camera that breaks off after ten pictures."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
        self.end_headers()
        file = BytesIO()
        Image.new("RGB", (64, 48), "red").save(file, "JPEG")
        head = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(file.getvalue())}\r\n\r\n"
        with contextlib.suppress(ConnectionError):
            for _ in range(10):
                self.wfile.write(head.encode() + file.getvalue() + b"\r\n")


def test_opencv_opens_a_network_stream_again_that_breaks() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), TenPictures) as server:
        serving = Thread(target=server.serve_forever)
        serving.start()
        with VideoSource(f"http://127.0.0.1:{server.server_port}/a.mjpg", back_off_s=[0.01]) as source:
            frames = [next(source) for _ in range(25)]
        server.shutdown()
        serving.join()
    assert source.reconnects >= 2
    assert [frame.index for frame in frames] == list(range(25))


def test_opencv_says_what_it_cannot_open(tmp_path: Path) -> None:
    (tmp_path / "junk.mp4").write_bytes(b"no video")
    refused = "rtsp://me:secret@127.0.0.1:9/door"  # the discard port, where nobody listens
    for what, message in (
        (tmp_path / "junk.mp4", "junk.mp4: OpenCV cannot open it; expected a video, such as .mp4"),
        (
            refused,
            r"rtsp://\.\.\.@127\.0\.0\.1:9/door: OpenCV cannot open it; check the address, the password",
        ),
        (99, "99: OpenCV cannot open it; v4l2-ctl --list-devices lists the cameras"),
    ):
        with pytest.raises(SourceError, match=message):
            VideoSource(what).open()


@pytest.mark.skipif(not is_missing("picamera2"), reason="picamera2 is installed here")
def test_without_picamera2_the_error_names_what_to_install() -> None:
    with pytest.raises(SourceError, match="apt install python3-picamera2"):
        PicameraSource().open()


@pytest.mark.skipif(not is_missing("sounddevice"), reason="sounddevice is installed here")
def test_without_sounddevice_the_error_names_what_to_install() -> None:
    with pytest.raises(SourceError, match="pip install sounddevice"):
        MicrophoneSource().open()
