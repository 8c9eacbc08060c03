#!/usr/bin/env python3
"""Raw outputs of every detection and pose head, and what the reference implementations make of them.

Usage: head_references.py [--check] [OUT]. Writes OUT.npz and OUT.json, by default tests/sdk/data/head_references,
which tests/sdk/test_head_references.py reads; with --check it only says whether they are what it would write. Each
reference is the released package, in an environment of its own under
~/.cache/edgewise (about 6 GB, mostly PyTorch); Edgewise needs none of them.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

from model_sources.environments import environment
from model_sources.wheels import SourceError, cache_folder, make_once
from reference_heads import trained
from reference_heads.exchange import Answer, answer_name, facts_of, save_cases
from reference_heads.face_cases import blazeface_cases, ssd_case, yunet_cases
from reference_heads.point_cases import point_cases
from reference_heads.postprocess_op import run_operator
from reference_heads.raw_outputs import Case
from reference_heads.yolo_cases import yolo_cases

HERE = Path(__file__).parent
DEFAULT = HERE.parent / "tests" / "sdk" / "data" / "head_references"
TORCH = (
    "torch==2.2.2", "torchvision==0.17.2", "numpy==1.26.4", "ultralytics==8.4.190", "opencv-python==4.11.0.86",
    "pandas==2.2.3", "scipy==1.13.1", "pillow==11.3.0", "requests", "tqdm", "seaborn==0.13.2", "fire==0.7.1",
    "setuptools<80", "munkres==3.0.0", "addict==2.4.0", "rich", "termcolor", "yapf", "xtcocotools==1.14.3",
    "json-tricks==3.17.3", "huggingface-hub",
)  # fmt: skip
BARE = ("yolov5==7.0.14", "mmpose==1.3.2", "mmengine==0.10.7", "mmcv-lite==2.1.0")
"""Installed without what they ask for: no decoder needs their tools for training, and some cannot be built."""
OPENCV = ("opencv-python-headless==4.12.0.88", "numpy<2.3", "onnx==1.18.0")
MEDIAPIPE = ("mediapipe==0.10.21",)
MOVENET = (
    "@tensorflow-models/pose-detection@2.1.3", "@tensorflow/tfjs-core@4.22.0", "@tensorflow/tfjs-backend-cpu@4.22.0",
    "@tensorflow/tfjs-converter@4.22.0", "@tensorflow/tfjs-backend-webgl@4.22.0",
    "@tensorflow/tfjs-backend-webgpu@4.22.0", "@mediapipe/pose@0.5.1675469404",
)  # fmt: skip
SOURCES = {
    "yolov8": "ultralytics 8.4.190, torchvision 0.17.2",
    "yolov8-pose": "ultralytics 8.4.190, torchvision 0.17.2",
    "nms": "ultralytics 8.4.190",
    "yolov5": "yolov5 7.0.14, torchvision 0.17.2",
    "yunet": "opencv-python-headless 4.12.0.88, FaceDetectorYN",
    "blazeface": "mediapipe 0.10.21, face_detection_short_range_cpu and face_detection_full_range_cpu",
    "ssd": f"ai-edge-litert {version('ai-edge-litert')}, TFLite_Detection_PostProcess",
    "heatmap": "mmpose 1.3.2, MSRAHeatmap",
    "simcc": "mmpose 1.3.2, SimCCLabel",
    "movenet": "@tensorflow-models/pose-detection 2.1.3",
    "movenet-multipose": "@tensorflow-models/pose-detection 2.1.3",
}


def all_cases() -> list[Case]:
    """Of every head but ssd."""
    return [
        *yolo_cases(trained.nudenet_answer()),
        *yunet_cases(trained.yunet_maps()),
        *blazeface_cases(trained.blazeface_answer()),
        *point_cases(),
    ]


def answers_of(cases: Sequence[Case], work: Path) -> Answer:
    """The references' answers, by `answer_name`."""
    python = environment("head-references", TORCH)
    bare = _bare_packages(python)
    answers = _run("ultralytics", python, _of(cases, "yolov8", "yolov8-pose", "nms", "yolov5"), work, bare)
    answers |= _run("mmpose", python, _of(cases, "heatmap", "simcc"), work, bare)
    answers |= _run("opencv", environment("head-references-opencv", OPENCV), _of(cases, "yunet"), work)
    faces = [trained.with_network(case) for case in _of(cases, "blazeface")]
    answers |= _run("mediapipe", environment("head-references-mediapipe", MEDIAPIPE), faces, work)
    return answers | _movenet(_of(cases, "movenet", "movenet-multipose"), work)


def _of(cases: Iterable[Case], *heads: str) -> list[Case]:
    return [case for case in cases if case.head in heads]


def _bare_packages(python: Path) -> Path:
    """A folder with BARE."""
    folder = cache_folder() / "head-references-bare-1"
    if not folder.exists():
        make_once(
            folder,
            lambda path: _command(
                [python, "-m", "pip", "install", "-q", "--no-deps", "--target", path, *BARE]
            ),
        )
    return folder


def _run(name: str, python: Path, cases: list[Case], work: Path, *paths: Path) -> Answer:
    asked, answered = work / f"{name}-cases.npz", work / f"{name}-answers.npz"
    save_cases(asked, cases)
    environ = {
        "PYTHONPATH": os.pathsep.join(map(str, (HERE, *paths))),
        "YOLOv5_AUTOINSTALL": "false",
        "YOLO_AUTOINSTALL": "false",
        "YOLO_CONFIG_DIR": str(work),
    }
    _command([python, HERE / "reference_heads" / f"{name}_worker.py", asked, answered], environ)
    with np.load(answered) as file:
        return dict(file)


def _movenet(cases: list[Case], work: Path) -> Answer:
    folder = cache_folder() / "head-references-npm-1"
    if not folder.exists():
        make_once(
            folder,
            lambda path: _command(
                ["npm", "install", "--silent", "--ignore-scripts", "--prefix", path, *MOVENET]
            ),
        )
    asked, answered = work / "movenet-cases.json", work / "movenet-answers.json"
    raws = [{"data": case.raw["out"].ravel().tolist(), "shape": case.raw["out"].shape} for case in cases]
    asked.write_text(
        json.dumps([facts_of(case) | {"raw": raw} for case, raw in zip(cases, raws, strict=True)])
    )
    worker = HERE / "reference_heads" / "movenet_worker.js"
    _command(["node", worker, asked, answered], {"NODE_PATH": str(folder / "node_modules")})
    answers = {}
    for one in json.loads(answered.read_text()):
        parts = ["scores", "points", "point_scores"] + (["boxes"] if "multipose" in one["key"] else [])
        for part in parts:
            answers[answer_name(one["key"], one["picture_wh"], part)] = np.array(one[part], np.float64)
    return answers


def _command(command: Sequence[object], environ: dict[str, str] | None = None) -> None:
    words = [str(word) for word in command]
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, env=os.environ | (environ or {})
    )
    if done.returncode != 0:
        raise SourceError(f"{' '.join(words[:4])} failed:\n{done.stderr.strip()[-2000:]}")


def ssd_answers(case: Case) -> tuple[Case, Answer]:
    """The operator's outputs as raw ones; as answer the boxes that were encoded, with its classes and scores."""
    outputs = run_operator(case)
    scores, count = outputs["scores"][0], int(outputs["count"][0])
    most = case.raw["class_scores"][0, :, 1:].max(axis=1)
    rows = [int(np.flatnonzero(most == score)[0]) for score in scores[:count]]
    classes = case.raw["class_scores"][0, :, 1:].argmax(axis=1)
    parts = {"boxes": case.truth["boxes"][rows], "scores": most[rows], "classes": classes[rows]}
    kept = Case(
        case.head, case.name, outputs, score=case.score, classes=case.classes, pictures_wh=((320, 320),)
    )
    return kept, {answer_name(case.key, (320, 320), part): array for part, array in parts.items()}


def save(out: Path, cases: list[Case], answers: Answer) -> None:
    """Write both files: one long float32 array, and in the .json where each begins and its shape."""
    arrays: Answer = {}
    places: dict[bytes, str] = {}  # cases may share outputs
    facts = []
    for case in cases:
        raw = {
            name: places.setdefault(array.tobytes(), f"{case.key}/{name}") for name, array in case.raw.items()
        }
        arrays |= {place: case.raw[name] for name, place in raw.items()}
        facts.append(facts_of(case) | {"raw": raw})
    arrays |= answers
    index, offset = {}, 0
    for name, array in arrays.items():
        index[name] = [offset, *array.shape]
        offset += array.size
    text = json.dumps({"sources": SOURCES, "cases": facts, "arrays": index}, separators=(",", ":"))
    out.with_suffix(".json").write_text(
        text.replace('{"key"', '\n{"key"').replace('"arrays"', '\n"arrays"') + "\n"
    )
    numbers = np.concatenate([array.ravel() for array in arrays.values()]).astype("<f4")
    # The first bytes of all, then the second ones and so on: they pack best beside their like.
    np.savez_compressed(out.with_suffix(".npz"), float32_bytes=numbers.view(np.uint8).reshape(-1, 4).T)


def _are_equal(made: Path, kept: Path) -> bool:
    endings = (".json", ".npz")
    changed = [
        end for end in endings if made.with_suffix(end).read_bytes() != kept.with_suffix(end).read_bytes()
    ]
    print(f"{kept}: {'differs in ' + ', '.join(changed) if changed else 'is what the references say'}")
    return not changed


def main() -> int:
    """Write the fixture; 1 when a reference cannot be had."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", nargs="?", type=Path, default=DEFAULT, help="without ending")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; 1 when it would change the files"
    )
    arguments = parser.parse_args()
    cases = all_cases()
    ssd, ssd_answer = ssd_answers(ssd_case())
    try:
        with tempfile.TemporaryDirectory() as work:
            answers = answers_of(cases, Path(work))
            made = Path(work) / "made" if arguments.check else arguments.out
            save(made, [*cases, ssd], answers | ssd_answer)
            return int(arguments.check and not _are_equal(made, arguments.out))
    except (SourceError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
