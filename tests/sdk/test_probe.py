"""A model that ends, hangs or fills its process is an error in the app, and nothing of it stays."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

import edgewise
from edgewise import ChildLimits, backends, tiny_model
from edgewise.child_process import run_in_child
from edgewise.errors import InvalidInput, ModelCrashed, ModelFileError
from edgewise.testing import tiny_card, tiny_golden, write_tiny_model

FULLY_CONNECTED, BATCH_TO_SPACE_ND = 9, 37
"""enum BuiltinOperator of tensorflow/lite/schema/schema.fbs"""
TFLITE_RUNTIMES = [name for name in ("litert", "tflite-runtime") if not backends.available()[name]]
CHILDREN = Path("/proc/self/task")


def crashing_model(path: Path) -> Path:
    """A tiny model whose operator says it is BATCH_TO_SPACE_ND with an absent input, which the runtimes follow."""
    data = tiny_model.tflite_model((2, 2), 3)
    both = bytes((FULLY_CONNECTED, FULLY_CONNECTED))  # the byte that older readers look at, and the integer
    inputs = np.array([0, 1, 2], "<i4").tobytes()
    assert (data.count(both), data.count(inputs)) == (1, 1)
    data = data.replace(both, bytes((BATCH_TO_SPACE_ND, BATCH_TO_SPACE_ND)))
    path.write_bytes(data.replace(inputs, np.array([-1, 1, 2], "<i4").tobytes()))
    return path


def children() -> set[str]:
    """The processes started by this one that are still there, defunct ones included."""
    return {pid for task in CHILDREN.iterdir() for pid in (task / "children").read_text().split()}


@pytest.mark.parametrize("backend", TFLITE_RUNTIMES)
def test_the_crashing_model_really_kills_its_process(tmp_path: Path, backend: str) -> None:
    path = crashing_model(tmp_path / "a.tflite")
    code = f"import edgewise; edgewise.load({str(path)!r}, backend={backend!r})"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    assert done.returncode == -signal.SIGSEGV


@pytest.mark.parametrize("backend", TFLITE_RUNTIMES)
def test_a_model_that_crashes_the_runtime_is_an_error_that_names_the_signal(
    tmp_path: Path, backend: str
) -> None:
    path = crashing_model(tmp_path / "a.tflite")
    before = children()
    with pytest.raises(
        ModelCrashed, match=r"a\.tflite: probe: the runtime died of SIGSEGV .* get another file"
    ):
        edgewise.load(path, backend=backend, probe=True)
    assert children() <= before


@pytest.mark.parametrize("suffix", ["tflite", "onnx"])
def test_a_good_model_passes_its_probe(tmp_path: Path, suffix: str) -> None:
    with edgewise.load(write_tiny_model(tmp_path / f"a.{suffix}"), probe=True) as model:
        assert model.self_test().passed


def test_a_model_with_other_answers_than_promised_is_refused(tmp_path: Path) -> None:
    right, wrong = tiny_golden(tiny_card())
    path = write_tiny_model(tmp_path / "a.tflite", golden=[right, replace(wrong, outputs=right.outputs)])
    with pytest.raises(
        ModelFileError, match=r"a\.tflite: it does not give its promised answers here: .*FAILED"
    ):
        edgewise.load(path, probe=True)


def endless_model(path: Path) -> Path:
    """An ONNX Loop of 2^62 rounds."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["v", "v"], ["w"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, [1]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, [1]),
        ],
    )
    loop = helper.make_node("Loop", ["rounds", "yes", "x"], ["y"], body=body)
    constants = [
        numpy_helper.from_array(np.array(1 << 62), "rounds"),
        numpy_helper.from_array(np.array(True), "yes"),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([loop], "g", ends[:1], ends[1:], initializer=constants)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def test_an_endless_loop_ends_at_the_time_limit(tmp_path: Path) -> None:
    path = endless_model(tmp_path / "a.onnx")
    before = children()
    with pytest.raises(ModelCrashed, match=r"not done after 3 s: an endless loop, or .* too slow"):
        edgewise.load(path, probe=ChildLimits(seconds=3))
    assert children() <= before


def test_a_model_that_wants_more_memory_than_it_may_have_is_an_error(tmp_path: Path) -> None:
    repeats = numpy_helper.from_array(np.array([1 << 30]), "repeats")
    node = helper.make_node("Tile", ["x", "repeats"], ["y"])
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [size])
        for name, size in (("x", 1), ("y", 1 << 30))
    ]
    path = tmp_path / "a.onnx"
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], initializer=[repeats])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    with pytest.raises(edgewise.EdgewiseError, match=r"emory|allocate"):
        edgewise.load(path, probe=ChildLimits(memory_bytes=300 << 20))


def test_limits_are_positive() -> None:
    for wrong in ({"seconds": 0}, {"memory_bytes": 0}):
        with pytest.raises(InvalidInput, match="limits: got"):
            ChildLimits(**wrong)  # type: ignore[arg-type]  # keywords by name, checked when called


def test_python_that_runs_out_of_memory_in_the_child_says_so(tmp_path: Path) -> None:
    job = job_of(tmp_path, "def job(size, limit):\n    limit()\n    return len(bytearray(size))\n")
    limits = ChildLimits(memory_bytes=64 << 20)
    assert run_in_child(job, 1000, limits=limits, what="work") == 1000
    with pytest.raises(ModelCrashed, match="work: out of memory"):
        run_in_child(job, 1 << 30, limits=limits, what="work")


def test_a_child_that_ends_by_itself_is_told_with_its_last_words(tmp_path: Path) -> None:
    job = job_of(tmp_path, "def job(code, limit):\n    raise ArithmeticError('seven')\n")
    with pytest.raises(
        ModelCrashed, match=r"work: .* ended with code 1: ArithmeticError: seven; get another"
    ):
        run_in_child(job, 0, limits=ChildLimits(), what="work")


def job_of(folder: Path, source: str) -> str:
    """A module with a job, which this process has imported, as every caller of `run_in_child` has."""
    name = f"job_{hashlib.sha256(source.encode()).hexdigest()[:8]}"
    package = folder / name
    package.mkdir()
    (package / "__init__.py").write_text(source)
    sys.path.insert(0, str(folder))
    try:
        __import__(name)
    finally:
        sys.path.remove(str(folder))
    return f"{name}:job"


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_nothing_stays_when_the_app_is_ended_in_the_middle(tmp_path: Path, ending: signal.Signals) -> None:
    path = endless_model(tmp_path / "a.onnx")
    code = f"import edgewise; edgewise.load({str(path)!r}, probe=True)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    app = subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.DEVNULL)
    own = Path(f"/proc/{app.pid}/task/{app.pid}/children")
    while not (pids := own.read_text().split()):
        time.sleep(0.01)
    child = Path(f"/proc/{pids[0]}")
    time.sleep(0.5)  # it is in the loop by then, or on its way; it must die either way
    app.send_signal(ending)
    app.wait()
    deadline = time.monotonic() + 30
    while child.exists() and "Z" not in child.joinpath("stat").read_text().split()[2]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_child_imports_only_what_it_needs(tiny: Path, tmp_path: Path) -> None:
    source = (
        "import sys\n"
        "def job(order, limit):\n"
        "    from edgewise.probe import try_model\n"
        "    try_model(order, limit)\n"
        "    return sorted({name.split('.')[0] for name in sys.modules})\n"
    )
    order = {"path": str(tiny), "backend": None, "threads": 1}
    loaded = run_in_child(job_of(tmp_path, source), order, limits=ChildLimits(), what="work")
    assert not {"PIL", "typer", "onnx", "onnxruntime", "pytest"} & set(loaded)


def test_the_digest_must_be_that_of_the_file(tiny: Path) -> None:
    digest = hashlib.sha256(tiny.read_bytes()).hexdigest()
    edgewise.load(tiny, sha256=digest.upper()).close()
    with pytest.raises(ModelFileError, match=rf"its SHA-256 is {digest}, expected 0{{64}}: another file"):
        edgewise.load(tiny, sha256="0" * 64)
    with pytest.raises(InvalidInput, match="sha256: got 'abc', expected 64 hexadecimal digits"):
        edgewise.load(tiny, sha256="abc")


def test_the_digest_is_looked_at_before_anything_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.tflite"
    path.write_text("no model")
    with pytest.raises(ModelFileError, match="its SHA-256 is"):
        edgewise.load(path, sha256="0" * 64)
