"""Runs the whole SDK in one process: FOLDER OUT.json [--backend NAME] [--extra PACKAGES] [--board].

Everything that `sdk_models` put into FOLDER is loaded, asked and self-tested. On a board also: every module is
imported, what is missing is used, and the commands are run. What fails is written down and does not end it.
"""

import argparse
import ctypes
import json
import os
import platform
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module, metadata
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

from sdk_answers import answers, without_times

import edgewise
from edgewise.streams import MicrophoneSource, PicameraSource, SerialLines, VideoSource

AT_HWCAP, AT_HWCAP2 = 16, 26
HWCAPS: dict[str, dict[str, tuple[int, int]]] = {
    "aarch64": {
        "neon": (0, 1), "fp16_arithmetic": (0, 10), "dot_product": (0, 20), "int8_matmul": (1, 13),
    },
    "armv7l": {"neon": (0, 12), "fp16_arithmetic": (0, 22), "dot_product": (0, 24), "int8_matmul": (0, 27)},
}  # fmt: skip
"""What the processor says of itself, by getauxval(3): which of the two words, and which bit (asm/hwcap.h of Linux)."""
PACKAGES = ("numpy", "pillow", "ai-edge-litert", "tflite-runtime", "onnxruntime")


def attempted(work: Callable[[], Any]) -> Any:
    """What it gives, or {"error": what was raised}."""
    try:
        return work()
    except BaseException:
        return {"error": traceback.format_exc(limit=-6)}


def error_of(work: Callable[[], Any]) -> str:
    """The error's name and text, or ""."""
    try:
        work()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def imports() -> dict[str, str]:
    """By module of the package, and by name that it exports, "" or the error of its import."""
    modules = [module.name for module in walk_packages(edgewise.__path__, "edgewise.")]
    said = {name: error_of(partial(import_module, name)) for name in modules}
    return said | {name: error_of(partial(getattr, edgewise, name)) for name in edgewise.__all__}


def missing(folder: Path) -> dict[str, str]:
    """What is said when something is used whose package is not there: the error's name and text."""

    def opened(source: Any) -> None:
        with source:
            pass

    uses: dict[str, Callable[[], Any]] = {
        "opencv": lambda: opened(VideoSource(0)),
        "picamera2": lambda: opened(PicameraSource()),
        "sounddevice": lambda: opened(MicrophoneSource()),
        "pyserial": lambda: SerialLines.open("/dev/ttyACM0", channels=3),
        "onnxruntime": lambda: edgewise.load(folder / "source" / "growing.onnx"),
        "tokenizers": lambda: edgewise.load(folder / "words.tflite").predict("w5"),
        "supervision": lambda: edgewise.load(folder / "boxes.tflite").predict(folder / "photo.png").to_supervision(),
    }  # fmt: skip
    return {name: error_of(use) for name, use in uses.items()}


def self_tests(load: Callable[..., edgewise.Model], folder: Path) -> dict[str, Any]:
    """By file that carries golden cases, what they say here."""
    found = {}
    for file in sorted(folder.glob("*.tflite")):
        with load(file) as model:
            if model.file.golden():
                found[file.stem] = model.self_test().to_dict()
    return found


def text(load: Callable[..., edgewise.Model], folder: Path, extra: str | None) -> Any:
    """A text's embedding, with the tokenizers library where it was installed for this."""
    if extra:
        sys.path.append(extra)
    with load(folder / "words.tflite") as model:
        return without_times(model.predict("w5 w9 w7 unheard").to_dict())


def truth() -> dict[str, Any]:
    """What is so here, found without the SDK."""
    flags = [ctypes.CDLL(None).getauxval(kind) for kind in (AT_HWCAP, AT_HWCAP2)]
    return {
        "machine": os.uname().machine,
        "python": platform.python_version(),
        "bits": 64 if sys.maxsize > 2**32 else 32,
        "features": {
            name: bool(flags[place] >> bit & 1) for name, (place, bit) in HWCAPS[os.uname().machine].items()
        },
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def command(*words: object, variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """One run of `edgewise`."""
    environment = {**os.environ, **(variables or {})}
    line = [sys.executable, "-m", "edgewise.cli", *map(str, words)]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    return {"code": done.returncode, "out": done.stdout, "err": done.stderr}


def commands(folder: Path) -> dict[str, Any]:
    """The commands that people use on a board, and what the doctor says where the runtime is broken."""
    classes, few = folder / "classes.tflite", ("--runs", 2, "--warmup", 0)
    broken = folder / "broken"
    for name in ("ai_edge_litert", "tflite_runtime"):
        (broken / name).mkdir(parents=True, exist_ok=True)
        (broken / name / "__init__.py").write_text("raise ImportError('undefined symbol: nothing')\n")
    paths = {"PYTHONPATH": f"{broken}:{os.environ['PYTHONPATH']}"}
    return {
        "doctor": command("doctor", "--json"),
        "bench": command("bench", classes, folder / "classes-int8.tflite", *few, "--json"),
        "profile": command("profile", folder / "convolutions-int8.tflite", *few, "--json"),
        "doctor of a broken runtime": command("doctor", "--json", variables=paths),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--backend")
    parser.add_argument("--extra")
    parser.add_argument("--board", action="store_true")
    asked = parser.parse_args()
    load = partial(edgewise.load, backend=asked.backend)
    found: dict[str, Any] = {}
    if asked.board:
        found["imports"] = imports()
        found["missing"] = missing(asked.folder)
        found["truth"] = truth()
        found["commands"] = commands(asked.folder)
    found["answers"] = {name: attempted(work) for name, work in answers(load, asked.folder).items()}
    found["answers"]["text-embedding"] = attempted(lambda: text(load, asked.folder, asked.extra))
    found["self_tests"] = self_tests(load, asked.folder)
    asked.out.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
