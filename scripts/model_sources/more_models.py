"""More trained models and recordings out of packages, for the benchmarks of quantization."""

from collections.abc import Mapping
from pathlib import Path

from model_sources.wheels import Wheel, files_folder, make_once, member_file, read_member

RAPIDOCR = Wheel(
    "rapidocr-onnxruntime",
    "1.4.4",
    "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf",
    licence="Apache-2.0",
)
NUDENET = Wheel(
    "nudenet",
    "3.4.2",
    "5937dbd84e5d8e5de038f08ffea5a1bb50a08475776bf2b4795914ce0eaf0331",
    licence="AGPL-3.0: for measuring, never shipped",
)
MAGIKA = Wheel(
    "magika",
    "1.0.3",
    "3e9b49134e8116ee40b431664dcbed9e199413efddcce1a173c734b4e0521529",
    licence="Apache-2.0",
    pip_options=("--python-version", "3.11", "--platform", "manylinux_2_28_x86_64"),
)
BASIC_PITCH_SOURCE = Wheel(
    "basic-pitch",
    "0.4.0",
    "6f48ac4b909c990fd59460622137a03b857c829bb1f3e65c71708da576ab68e5",
    licence="Apache-2.0; the recordings: CC-BY-4.0 (vocadito)",
    is_source=True,
)
RAPIDOCR_FILES = (
    "ch_PP-OCRv4_det_infer.onnx",
    "ch_PP-OCRv4_rec_infer.onnx",
    "ch_ppocr_mobile_v2.0_cls_infer.onnx",
)
RECORDINGS = ("vocadito_10.wav", "vocadito_14.wav")


def rapidocr() -> Path:
    """A folder with PP-OCRv4's detector and recognizer, and the direction classifier of PP-OCR mobile 2.0.

    All take f32 [b,3,h,w] of (pixel - 127.5) / 127.5: any multiple of 32, [48,320], [48,192].
    """
    return _folder(
        "rapidocr", RAPIDOCR, {name: f"rapidocr_onnxruntime/models/{name}" for name in RAPIDOCR_FILES}
    )


def nudenet_onnx() -> Path:
    """A YOLOv8n with 18 classes: 'images', f32 [b,3,320,320] of pixel / 255, to 'output0' [b,22,2100]."""
    return member_file(NUDENET, "nudenet/320n.onnx", "nudenet-320n.onnx")


def magika_onnx() -> Path:
    """Google's magika: 'bytes', i32 [b,2048] of 0..256, to the probabilities of 214 kinds of files."""
    return member_file(MAGIKA, "magika/models/standard_v3_3/model.onnx", "magika.onnx")


def singing() -> Path:
    """A folder with two recordings of a singing voice, WAV."""
    root = f"basic_pitch-{BASIC_PITCH_SOURCE.version}/tests/resources"
    return _folder("singing", BASIC_PITCH_SOURCE, {name: f"{root}/{name}" for name in RECORDINGS})


def _folder(name: str, wheel: Wheel, members: Mapping[str, str]) -> Path:
    kept = files_folder() / name

    def unpack(folder: Path) -> None:
        folder.mkdir()
        for file, member in members.items():
            (folder / file).write_bytes(read_member(wheel, member))

    if not kept.exists():
        make_once(kept, unpack)
    return kept
