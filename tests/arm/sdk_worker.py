"""Runs the whole SDK in one process: FOLDER OUT.json [--backend NAME] [--extra PACKAGES] [--board].

Everything that `sdk_models` put into FOLDER is loaded, asked and self-tested. On a board also: every module is
imported, what is missing is used, and the commands are run. What fails is written down and does not end it.
"""

import argparse
import functools
import json
import os
import platform
import subprocess
import sys
import traceback
from collections.abc import Callable
from importlib import import_module, metadata
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

from sdk_answers import answers, without_times

import edgewise
from edgewise import backends
from edgewise.streams import MicrophoneSource, PicameraSource, SerialLines, VideoSource

PACKAGES = ("numpy", "pillow", "ai-edge-litert", "tflite-runtime", "onnxruntime")


def attempted(work: Callable[[], Any]) -> Any:
    """What it gives, or {"error": what was raised}."""
    try:
        return work()
    except BaseException:
        return {"error": traceback.format_exc(limit=-6)}


def imports() -> dict[str, str]:
    """What each module of the package is imported with: "", the name of the module that it lacks, or an error."""
    said = {}
    for name in [module.name for module in walk_packages(edgewise.__path__, "edgewise.")]:
        said[name] = ""
        try:
            import_module(name)
        except ModuleNotFoundError as error:
            said[name] = error.name or ""
        except Exception as error:
            said[name] = f"{type(error).__name__}: {error}"
    return said


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
    said = {}
    for name, use in uses.items():
        try:
            use()
            said[name] = "nothing"
        except Exception as error:
            said[name] = f"{type(error).__name__}: {error}"
    return said


def self_tests(load: Callable[..., edgewise.Model], folder: Path) -> dict[str, Any]:
    """By file, its own golden cases. The two that carry none say so."""
    found = {}
    for file in sorted(folder.glob("*.tflite")):
        with load(file) as model:
            found[file.stem] = attempted(lambda model=model: model.self_test().to_dict())  # type: ignore[misc]
    return found


def text(load: Callable[..., edgewise.Model], folder: Path, extra: str | None) -> Any:
    """A text's embedding, with the tokenizers library where it was installed for this."""
    if extra:
        sys.path.append(extra)
    with load(folder / "words.tflite") as model:
        return without_times(model.predict("w5 w9 w7 unheard").to_dict())


def truth() -> dict[str, Any]:
    """What is so here, found without the SDK."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    features = next(line.split(":")[1].split() for line in cpuinfo.splitlines() if line.startswith("Features"))
    return {
        "machine": os.uname().machine,
        "python": platform.python_version(),
        "bits": 64 if sys.maxsize > 2**32 else 32,
        "features": features,
        "cores": cpuinfo.count("processor\t"),
        "board": Path("/sys/firmware/devicetree/base/model").read_text().strip("\0"),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def command(*words: object) -> dict[str, Any]:
    """One run of `edgewise`."""
    done = subprocess.run(
        [sys.executable, "-m", "edgewise.cli", *map(str, words)], capture_output=True, text=True, check=False
    )
    return {"code": done.returncode, "out": done.stdout, "err": done.stderr}


def commands(folder: Path) -> dict[str, Any]:
    """The commands that people use on a board."""
    classes, few = folder / "classes.tflite", ("--runs", 2, "--warmup", 0)
    return {
        "doctor": command("doctor", "--json"),
        "bench": command("bench", classes, folder / "classes-int8.tflite", *few, "--json"),
        "bench --image": command("bench", classes, "--image", folder / "photo.png", *few, "--json"),
        "profile": command("profile", folder / "convolutions-int8.tflite", *few, "--json"),
        "inspect": command("inspect", classes, "--self-test"),
        "run": command("run", classes, folder / "photo.png", "--json"),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--backend")
    parser.add_argument("--extra")
    parser.add_argument("--board", action="store_true")
    asked = parser.parse_args()
    load = functools.partial(edgewise.load, backend=asked.backend)
    found: dict[str, Any] = {}
    if asked.board:
        found["imports"] = imports()
        found["missing"] = missing(asked.folder)
        found["backends"] = backends.available()
        found["truth"] = truth()
        found["commands"] = commands(asked.folder)
    found["answers"] = {name: attempted(work) for name, work in answers(load, asked.folder).items()}
    found["answers"]["text-embedding"] = attempted(lambda: text(load, asked.folder, asked.extra))
    found["self_tests"] = self_tests(load, asked.folder)
    asked.out.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
