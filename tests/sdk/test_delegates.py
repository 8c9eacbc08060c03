"""A real delegate takes what it can; one that fails, in whichever way, costs a warning and no app."""

import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sdk.delegate_files import compiled, expected, write_negating, write_negating_onnx
from sdk.test_probe import crashing_model

import edgewise
from edgewise import Delegate, DelegateUnavailable, InvalidInput, backends
from edgewise.delegate_profile import DelegateProfile
from edgewise.doctor_delegates import edge_tpu_state, gpu_state
from edgewise.placement import PlacedOperator, Placement
from edgewise.profile import ProfilePlan, profile_model

X = np.array([[1, -1, 3, -5]], np.float32)
TFLITE_RUNTIMES = [name for name in ("litert", "tflite-runtime") if not backends.available()[name]]
NO_DELEGATE = "int tflite_plugin(void) { return 0; }\n"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled delegate."""
    return compiled(tmp_path_factory.mktemp("delegate"))


@pytest.fixture(scope="module")
def negating(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A .tflite file with two operators for the delegate and three that it leaves."""
    return write_negating(tmp_path_factory.mktemp("negating"))


@pytest.mark.parametrize("backend", TFLITE_RUNTIMES)
def test_a_delegate_takes_its_operators_and_the_placement_says_so(
    library: Path, negating: Path, backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    with edgewise.load(negating, delegate=library, backend=backend) as model:
        placement = model.placement()
        assert (placement.delegate, placement.fallback) == (library.name, "")
        assert placement.counts() == {"XNNPACK": 3, library.name: 2}
        assert placement.parts()[library.name] == 2
        assert placement.kinds(library.name) == {"NEG": 2}
        assert [one.kind for one in placement.operators] == ["ADD", "NEG", "MUL", "SUB", "NEG"]
        np.testing.assert_array_equal(model.run(X)["y"], expected(X))
    assert caplog.text == ""


def test_a_swapped_model_gets_the_delegate_too(library: Path, negating: Path) -> None:
    with edgewise.load(negating, delegate=library) as model:
        model.swap(negating)
        assert model.placement().counts()[library.name] == 2


@pytest.mark.parametrize(
    ("fails", "said"),
    [
        ("create", "refuses to start: no such device on the bus"),
        ("abort", "died of SIGABRT"),
        ("prepare", "cannot run the file with it"),
        ("invoke", "failed to invoke"),
        ("wrong", "does not give its promised answers"),
    ],
)
def test_a_delegate_that_fails_is_a_warning_and_the_processor_answers(
    library: Path, negating: Path, fails: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    delegate = Delegate(str(library), {"fails": fails})
    with edgewise.load(negating, delegate=delegate) as model:
        assert model.placement().counts() == {"XNNPACK": 5}
        assert said in model.placement().fallback
        np.testing.assert_array_equal(model.run(X)["y"], expected(X))
    (record,) = caplog.records
    assert (record.levelno, record.name) == (logging.WARNING, "edgewise.delegates")
    assert said in record.getMessage()
    assert "the processor does its work" in record.getMessage()
    with pytest.raises(DelegateUnavailable, match=f"delegate '{library.name}': .*{said}"):
        edgewise.load(negating, delegate=delegate, fallback=False)


def test_the_aborting_delegate_really_kills_an_app_that_does_not_probe(library: Path, negating: Path) -> None:
    code = (
        "import edgewise; from edgewise import Delegate; "
        f"edgewise.load({str(negating)!r}, delegate=Delegate({str(library)!r}, {{'fails': 'abort'}}), probe=False)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    assert done.returncode == -signal.SIGABRT


def test_a_library_that_is_missing_broken_or_none_is_named(
    negating: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "other.c").write_text(NO_DELEGATE)
    other = compiled(tmp_path, tmp_path / "other.c")
    for library, said in (
        (tmp_path / "none.so", "none.so: cannot open shared object file"),
        (negating, "cannot be loaded"),
        (other, "libother.so is no delegate: it lacks the function tflite_plugin_create_delegate"),
    ):
        caplog.clear()
        with edgewise.load(negating, delegate=library) as model:
            assert said in model.placement().fallback
        assert len(caplog.records) == 1


@pytest.mark.parametrize(("name", "remedy"), [("edgetpu", "libedgetpu1-std"), ("gpu", "use the processor")])
def test_known_delegates_that_are_not_here_come_with_their_remedy(
    negating: Path, name: str, remedy: str
) -> None:
    with pytest.raises(DelegateUnavailable, match=f"delegate '{name}': .*{remedy}"):
        edgewise.load(negating, delegate=name, fallback=False)


def test_a_delegate_that_takes_nothing_is_told(
    library: Path, negating: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with edgewise.load(negating, delegate=Delegate(str(library), {"fails": "nothing"})) as model:
        assert model.placement().counts() == {"XNNPACK": 5}
    assert "took none of its operators" in caplog.text


def test_a_name_that_means_nothing_is_an_error_and_no_fallback(negating: Path) -> None:
    with pytest.raises(InvalidInput, match="delegate: got 'edgtpu', expected 'edgetpu', 'gpu'"):
        edgewise.load(negating, delegate="edgtpu")


def test_a_broken_file_is_its_own_error_with_a_delegate_too(library: Path, tmp_path: Path) -> None:
    (tmp_path / "a.tflite").write_bytes(b"no model")
    with pytest.raises(edgewise.ModelFileError, match=r"a\.tflite"):
        edgewise.load(tmp_path / "a.tflite", delegate=library)


def test_a_file_that_crashes_every_runtime_is_an_error_and_no_end_of_the_app(
    library: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(edgewise.ModelCrashed, match=r"a\.tflite: probe: the runtime died of SIGSEGV"):
        edgewise.load(crashing_model(tmp_path / "a.tflite"), delegate=library)
    assert caplog.text == ""


def test_an_execution_provider_is_the_delegate_of_an_onnx_file(tmp_path: Path) -> None:
    """Azure's is in every build; it computes nothing here, and the trace says so."""
    path = write_negating_onnx(tmp_path / "a.onnx")
    with edgewise.load(path, delegate="azure") as model:
        placement = model.placement()
        assert (placement.delegate, placement.fallback) == ("azure", "")
        assert placement.counts() == {"CPU": 5}
        np.testing.assert_array_equal(model.run(X)["y"], expected(X))
    with pytest.raises(DelegateUnavailable, match=r"got 'xnnpak', expected one of .*cpu"):
        edgewise.load(path, delegate="xnnpak", fallback=False)


def test_a_profile_with_a_delegate_places_every_operator(library: Path, negating: Path) -> None:
    profile = profile_model(negating, ProfilePlan(runs=3, warmup=0, delegate=Delegate(str(library))))
    assert isinstance(profile, DelegateProfile)
    assert profile.placement.counts() == {"XNNPACK": 3, library.name: 2}
    page = profile.page(top=2)
    assert f"NEG [{library.name}]" in page
    assert "and 3 more" in page
    json.dumps(profile.to_dict())


def command(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the `edgewise` command."""
    words = (Path(sys.executable).with_name("edgewise"), *words)
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_bench_says_where_operators_ran_and_measures_no_substitute(library: Path, negating: Path) -> None:
    words = ("bench", negating, "--runs", "3", "--delegate", library)
    done = command(*words)
    assert f"operators     3 in XNNPACK, 2 in {library.name}" in done.stdout
    for fails in ("create", "abort", "wrong"):
        done = command(*words, "--delegate-option", f"fails={fails}")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("error: ")
        assert len(done.stderr.splitlines()) == 1
    done = command("profile", negating, "--delegate-option", "a=b")
    assert "got no --delegate" in done.stderr


def test_the_doctor_tells_an_accelerator_without_its_library_from_none(tmp_path: Path) -> None:
    missing = "its library cannot be loaded: libedgetpu.so.1: no such file; install it"
    assert not edge_tpu_state(tmp_path, missing).problem
    usb = tmp_path / "sys/bus/usb/devices/1-1"
    usb.mkdir(parents=True)
    (usb / "idVendor").write_text("1a6e\n")
    (usb / "idProduct").write_text("089a\n")
    state = edge_tpu_state(tmp_path, missing)
    assert (state.value, state.problem) == ("accelerator on USB", missing.partition(";")[0])
    assert "libedgetpu1-std" in state.remedy
    assert "plugdev" in edge_tpu_state(tmp_path, "it refuses to start: no access").remedy
    assert edge_tpu_state(tmp_path, "").value == "works, accelerator on USB"
    assert "no Python package brings one" in gpu_state(missing).value


def test_a_placement_counts_by_place_and_kind() -> None:
    operators = (
        PlacedOperator("CONV_2D", "a", "npu", 7),
        PlacedOperator("CONV_2D", "b", "npu", 7),
        PlacedOperator("SOFTMAX", "c", "built-in"),
    )
    placement = Placement("litert", "npu", operators)
    assert str(placement) == "npu 2, built-in 1 of 3 operators"
    assert placement.lines() == [
        "npu: 2 of 3 operators in 1 part: 2 CONV_2D",
        "built-in: 1 of 3 operators: 1 SOFTMAX",
    ]
    assert placement.to_dict()["parts"] == {"npu": 1}
