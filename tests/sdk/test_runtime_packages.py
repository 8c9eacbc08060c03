"""What is said of a runtime that is missing: how to get it where it can be had, and that it cannot where not."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from edgewise.runtime_packages import PACKAGES, why_missing, why_no_package

MODULES = ("ai_edge_litert", "tflite_runtime", "onnxruntime")
EACH_ADAPTER = """
import sys


class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name in {modules}:
            raise ModuleNotFoundError(name, name=name)


sys.meta_path.insert(0, NotInstalled())
from edgewise import backends
from edgewise.backends import litert, litert_nodes, litert_profiler, onnxruntime, tflite_runtime
from edgewise.errors import BackendUnavailable
for adapter in (litert, tflite_runtime, onnxruntime):
    try:
        adapter.open_model(b"")
    except BackendUnavailable as error:
        print(error)
print(list(backends.available().values()))
"""


@pytest.mark.parametrize(
    ("name", "machine", "python", "reason"),
    [
        ("litert", "aarch64", (3, 13), ""),
        ("litert", "armv7l", (3, 11), "ai-edge-litert is made for 64-bit systems only"),
        ("onnxruntime", "armv8l", (3, 11), "onnxruntime is made for 64-bit systems only"),
        ("tflite-runtime", "armv8l", (3, 11), ""),
        ("tflite-runtime", "armv7l", (3, 13), "tflite-runtime is made for Python 3.11 at most"),
    ],
)
def test_what_cannot_be_had_is_told(name: str, machine: str, python: tuple[int, int], reason: str) -> None:
    assert why_no_package(name, machine=machine, python=python) == reason


def test_adapters_import_without_their_runtimes_and_name_them_when_used() -> None:
    code = EACH_ADAPTER.format(modules=MODULES)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    *errors, reasons = done.stdout.splitlines()
    assert errors == [f"{name}: {why_missing(name)}" for name in PACKAGES]
    assert reasons == str([why_missing(name) for name in PACKAGES])


def test_a_runtime_that_lacks_a_package_of_its_own_is_broken_not_missing(tmp_path: Path) -> None:
    (tmp_path / "ai_edge_litert").mkdir()
    (tmp_path / "ai_edge_litert" / "__init__.py").write_text("import no_such_thing\n")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from edgewise.backends.selection import probe; "
    )
    done = subprocess.run(
        [sys.executable, "-c", code + "print(probe('litert'))"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "installed, and its import fails: No module named 'no_such_thing'\n"


BARE = """
import sys
from importlib.metadata import packages_distributions

NEEDED = {{"numpy", "PIL", "flatbuffers", "edgewise", "tflite_runtime"}}


class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in OTHERS:
            raise ModuleNotFoundError(name, name=name)


OTHERS = set(packages_distributions()) - NEEDED
assert {{"typer", "rich", "onnxruntime", "ai_edge_litert", "tokenizers"}} <= OTHERS
sys.meta_path.insert(0, NotInstalled())
import edgewise
from edgewise.testing import write_tiny_model

with edgewise.load(write_tiny_model({path!r})) as model:
    assert model.self_test().passed
    print(model.backend_name, model.predict({photo!r}).top.label)
"""


@pytest.mark.skipif(find_spec("tflite_runtime") is None, reason="there is no tflite-runtime for this Python")
def test_an_app_needs_numpy_pillow_flatbuffers_and_one_runtime(tmp_path: Path) -> None:
    Image.new("RGB", (20, 20), "lime").save(tmp_path / "lime.png")
    code = BARE.format(path=str(tmp_path / "tiny.tflite"), photo=str(tmp_path / "lime.png"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "tflite-runtime green\n"), done.stderr
