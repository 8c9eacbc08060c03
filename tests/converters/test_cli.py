"""`edgewise convert` as its user meets it: each in a process of its own, in an empty folder."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from converters.onnx_cases import case, model_of
from PIL import Image

from edgewise import load
from edgewise_converters.errors import ConversionError
from edgewise_converters.pipeline import convert
from edgewise_converters.request import Request

EDGEWISE = Path(sys.executable).with_name("edgewise")
LIMIT_S = 120
NET = case(
    "a = Conv<pads=[1,1,1,1]>(x, w, b) c = Relu(a) d = GlobalAveragePool(c) e = Flatten(d) y = Gemm(e, v)",
    x=(1, 3, 16, 16), w=(8, 3, 3, 3), b=(8,), v=(8, 5),
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model and good samples for it, and an empty folder to work in."""
    onnx.save(model_of(NET), tmp_path / "net.onnx")
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for i in range(12):
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), np.uint8)).save(tmp_path / "photos" / f"{i}.png")
    (tmp_path / "labels.txt").write_text("ant\nbee\ncat\ndog\neel\n")
    (tmp_path / "work").mkdir()
    return tmp_path


def edgewise(folder: Path, *words: object) -> Outcome:
    """Run `edgewise convert` in the working folder."""
    command = [str(EDGEWISE), "convert", *map(str, words)]
    done = subprocess.run(
        command, cwd=folder / "work", capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def left(folder: Path) -> list[str]:
    """What lies in the working folder, hidden files included."""
    return sorted(path.name for path in (folder / "work").iterdir())


def refused(folder: Path, *words: object, said: str) -> None:
    """One clear line on standard error, exit code 1, nothing written."""
    outcome = edgewise(folder, *words)
    errors = [line for line in outcome.err.splitlines() if not line.startswith("note: ")]
    assert outcome.code == 1, outcome
    assert outcome.out == ""
    assert len(errors) == 1 and errors[0].startswith("error: "), outcome.err
    assert said in errors[0]
    assert left(folder) == []


def refused_here(folder: Path, source: str, words: list[str], said: str) -> None:
    """The same without a process of its own (a second each): the error that the command prints in one line."""
    wishes = dict(zip(words[::2], words[1::2], strict=True))
    paths = {"--samples", "--labels", "--out"}
    options: dict[str, Any] = {
        word.removeprefix("--"): (folder / "work" / text if word in paths else text)
        for word, text in wishes.items()
    }
    if "shape" in options:
        name, _, numbers = options.pop("shape").partition("=")
        options["shapes"] = {name: tuple(map(int, numbers.split(",")))}
    options.setdefault("out", folder / "work" / "a.tflite")
    with pytest.raises(ConversionError) as caught:
        convert(Request(source=folder / source, **options))
    assert caught.value.exit_code == 1
    assert said in str(caught.value) and len(str(caught.value).splitlines()) == 1
    assert left(folder) == []


def test_file_is_written_and_the_table_says_where(folder: Path) -> None:
    outcome = edgewise(folder, "../net.onnx", "--target", "rpi4", "--precision", "fp32")
    assert outcome.code == 0, outcome.err
    assert left(folder) == ["net-rpi4.tflite"]
    assert outcome.out.splitlines()[0].split() == ["file", "net-rpi4.tflite"]
    assert outcome.err == ""
    assert not any(line != line.rstrip() for line in outcome.out.splitlines())


def test_json_is_all_of_standard_output(folder: Path) -> None:
    words = (
        "--samples",
        "../photos",
        "--preprocess",
        "unit",
        "--labels",
        "../labels.txt",
        "--out",
        "a.tflite",
        "--json",
    )
    outcome = edgewise(folder, "../net.onnx", "--target", "rpi4", "--precision", "int8", *words)
    assert outcome.code == 0, outcome.err
    result = json.loads(outcome.out)
    assert result["precision"] == "int8" and result["task"] == "image-classification"
    assert result["size_bytes"] == (folder / "work" / "a.tflite").stat().st_size
    assert result["agreement"]["litert"]["cases"] >= 8


def test_source_is_only_read(folder: Path) -> None:
    source = folder / "net.onnx"
    source.chmod(0o444)
    before = source.read_bytes(), source.stat().st_mtime_ns
    assert edgewise(folder, source, "--target", "rpi4").code == 0
    assert (source.read_bytes(), source.stat().st_mtime_ns) == before
    assert sorted(path.name for path in folder.iterdir()) == ["labels.txt", "net.onnx", "photos", "work"]


def test_broken_photo_among_good_ones_is_counted(folder: Path) -> None:
    (folder / "photos" / "broken.jpg").write_bytes(b"no picture")
    words = ("--samples", "../photos", "--preprocess", "unit", "--json")
    outcome = edgewise(folder, "../net.onnx", "--target", "rpi4", *words)
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["skipped_samples"] == 1


def _truncated(part: float) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        data = model_of(NET).SerializeToString()
        path.write_bytes(data[: int(len(data) * part)])

    return write


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.pb", b"x" * 1000)


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "the file is empty"),
    "cut at a tenth": (_truncated(0.1), "truncated"),
    "cut at half": (_truncated(0.5), "truncated"),
    "cut at nine tenths": (_truncated(0.9), "truncated"),
    "cut before its last byte": (_truncated(0.999), "truncated"),
    "text": (lambda path: path.write_text("no model\n" * 20), "of another kind"),
    "picture": (lambda path: Image.new("RGB", (9, 9)).save(path, "PNG"), "of another kind"),
    "zip": (_zip, "of another kind"),
    "tflite": (lambda path: path.write_bytes(b"\x1c\0\0\0TFL3" + bytes(100)), "truncated or damaged"),
    "folder": (lambda path: path.mkdir(), "this is a folder"),
    "missing": (lambda path: None, "no such file"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_model_is_refused(folder: Path, kind: str) -> None:
    write, said = BROKEN[kind]
    write(folder / "bad.onnx")
    refused_here(folder, "bad.onnx", ["--target", "rpi4"], said)


@pytest.mark.parametrize("kind", ["missing", "cut at half", "picture"])
def test_broken_model_is_refused_by_the_command(folder: Path, kind: str) -> None:
    write, said = BROKEN[kind]
    write(folder / "bad.onnx")
    refused(folder, "../bad.onnx", "--target", "rpi4", said=said)


def test_unknown_operator_is_named_with_its_node(folder: Path) -> None:
    model = model_of(case("y = RandomNormalLike(x)", x=(1, 3, 3)))
    model.graph.node[0].name = "the_dice"
    onnx.save(model, folder / "dice.onnx")
    refused(folder, "../dice.onnx", "--target", "rpi4", said="operator RandomNormalLike (node 'the_dice')")


def test_operator_of_another_domain_is_named(folder: Path) -> None:
    model = model_of(NET)
    model.graph.node[0].domain, model.graph.node[0].name = "com.example", "mine"
    model.opset_import.append(onnx.helper.make_opsetid("com.example", 1))
    for output in model.graph.output:
        output.CopyFrom(onnx.helper.make_tensor_value_info(output.name, 1, [1, 5]))
    onnx.save(model, folder / "own.onnx")
    refused(folder, "../own.onnx", "--target", "rpi4", said="com.example::Conv (node 'mine')")


@pytest.fixture
def open_shape(folder: Path) -> Path:
    """A detector-like model of any height and width."""
    model = model_of(case("a = Conv<pads=[1,1,1,1]>(x, w) y = Sigmoid(a)", x=(1, 3, 8, 8), w=(1, 3, 3, 3)))
    value = onnx.helper.make_tensor_value_info("x", 1, ["b", 3, "h", "w"])
    model.graph.input[0].CopyFrom(value)
    onnx.save(model, folder / "open.onnx")
    return folder


def test_open_shape_asks_for_a_hint(open_shape: Path) -> None:
    refused(open_shape, "../open.onnx", "--target", "rpi4", said="--shape x=1,3,")


def test_open_shape_with_a_hint_is_converted(open_shape: Path) -> None:
    outcome = edgewise(
        open_shape, "../open.onnx", "--target", "rpi4", "--shape", "x=1,3,32,48", "--precision", "fp32"
    )
    assert outcome.code == 0, outcome.err
    assert "has shape [1,3,32,48] as asked" in outcome.err


WRONG: dict[str, tuple[list[str], str]] = {
    "target": (["--target", "rpi44"], "did you mean rpi4"),
    "target of nowhere": (["--target", "toaster"], "expected one of arm64"),
    "shape of no input": (["--target", "rpi4", "--shape", "z=1,3,16,16"], "no such input"),
    "another shape": (["--target", "rpi4", "--shape", "x=1,3,32,32"], "got 32 where the model fixes 16"),
    "preprocess": (["--target", "rpi4", "--preprocess", "imagenette"], "--preprocess: got 'imagenette'"),
    "preprocess numbers": (["--target", "rpi4", "--preprocess", "mean=a;std=1"], "--preprocess mean: got 'a'"),
    "preprocess not finite": (["--target", "rpi4", "--preprocess", "mean=nan;std=1"], "got 'nan'"),
    "preprocess division by zero": (["--target", "rpi4", "--preprocess", "mean=1;std=0"], "std"),
    "preprocess key": (["--target", "rpi4", "--preprocess", "unit;size=3"], "got 'size=3'"),
    "missing samples": (["--target", "rpi4", "--samples", "nowhere"], "nowhere does not exist"),
    "samples without any": (["--target", "rpi4", "--samples", "."], "holds nothing"),
    "samples of another kind": (["--target", "rpi4", "--samples", "../labels.txt"], "neither an image nor"),
    "labels of the wrong length": (["--target", "rpi4", "--labels", "../short.txt"], "got 2 labels"),
    "missing labels": (["--target", "rpi4", "--labels", "nowhere.txt"], "nowhere.txt"),
    "labels that are no text": (["--target", "rpi4", "--labels", "../photos/0.png"], "cannot be read as text"),
    "no labels": (["--target", "rpi4", "--labels", "/dev/null"], "is empty"),
    "int8 without samples": (["--target", "rpi4", "--precision", "int8"], "needs --samples"),
    "output in no folder": (["--target", "rpi4", "--out", "nowhere/a.tflite"], "nowhere does not exist"),
    "output that cannot be made": (["--target", "rpi4", "--out", "/proc/a.tflite"], "/proc"),
    "output of another kind": (["--target", "rpi4", "--out", "a.onnx"], "expected .tflite"),
    "output over the source": (["--target", "rpi4", "--out", "../net.onnx"], "never overwritten"),
    "output over a folder": (["--target", "rpi4", "--out", "../photos"], "this is a folder"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_wish_is_refused(folder: Path, name: str) -> None:
    words, said = WRONG[name]
    (folder / "short.txt").write_text("ant\nbee\n")
    refused_here(folder, "net.onnx", words, said)


COMMANDED = (
    "target",
    "another shape",
    "samples without any",
    "labels of the wrong length",
    "output that cannot be made",
)


@pytest.mark.parametrize("name", COMMANDED)
def test_wrong_wish_is_refused_by_the_command(folder: Path, name: str) -> None:
    words, said = WRONG[name]
    (folder / "short.txt").write_text("ant\nbee\n")
    refused(folder, "../net.onnx", *words, said=said)


def test_samples_of_the_wrong_shape_are_refused(folder: Path) -> None:
    np.save(folder / "wrong.npy", np.zeros((4, 3, 9, 9)))
    refused(folder, "../net.onnx", "--target", "rpi4", "--samples", "../wrong.npy", said="(4, 3, 9, 9)")


def test_unreadable_samples_are_refused(folder: Path) -> None:
    for path in (folder / "photos").iterdir():
        path.write_bytes(b"no picture")
    words = ("--samples", "../photos", "--preprocess", "unit")
    refused(folder, "../net.onnx", "--target", "rpi4", *words, said="none of 12 could be read")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere; /proc stands in for it above")
def test_folder_without_the_right_to_write_is_refused(folder: Path) -> None:
    (folder / "photos").chmod(0o555)
    refused(
        folder, "../net.onnx", "--target", "rpi4", "--out", "../photos/a.tflite", said="cannot be written to"
    )


USAGE = {
    "no target": [],
    "precision": ["--target", "rpi4", "--precision", "int9"],
    "shape without numbers": ["--target", "rpi4", "--shape", "x=a"],
}


@pytest.mark.parametrize("name", USAGE)
def test_wrong_usage_is_exit_code_two(folder: Path, name: str) -> None:
    outcome = edgewise(folder, "../net.onnx", *USAGE[name])
    assert outcome.code == 2
    assert "Traceback" not in outcome.err and outcome.out == ""
    assert left(folder) == []


DIFFERENCE = case("a = Add(x, c) y = Sub(a, c)", x=(1, 4, 8, 8), c=np.float32(1000))


@pytest.fixture
def too_fine(folder: Path) -> Path:
    """A model whose small answers hide in large numbers: 8 bits cannot hold them."""
    onnx.save(model_of(DIFFERENCE), folder / "fine.onnx")
    np.save(folder / "fine.npy", np.random.default_rng(0).standard_normal((20, 4, 8, 8)))
    return folder


def test_precision_below_its_gate_is_refused(too_fine: Path) -> None:
    words = ("--precision", "int8", "--samples", "../fine.npy")
    refused(
        too_fine, "../fine.onnx", "--target", "rpi4", *words, said="not good enough, so nothing was written"
    )


def test_auto_steps_down_to_what_is_good_enough_and_says_so(too_fine: Path) -> None:
    words = ("--samples", "../fine.npy", "--json")
    outcome = edgewise(too_fine, "../fine.onnx", "--target", "rpi4", *words)
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["precision"] == "mixed16"
    tried = [line.rsplit(" ", 1)[1] for line in outcome.err.splitlines() if "not good enough, trying" in line]
    assert tried == ["mixed", "mixed16"]


def test_refusal_leaves_an_older_file_as_it_was(too_fine: Path) -> None:
    older = too_fine / "older.tflite"
    older.write_bytes(b"an older file")
    words = ("--precision", "int8", "--samples", "../fine.npy", "--out", older)
    assert edgewise(too_fine, "../fine.onnx", "--target", "rpi4", *words).code == 1
    assert older.read_bytes() == b"an older file"


def test_interrupt_in_the_middle_leaves_nothing(folder: Path) -> None:
    # A pipe as the only picture: the converter waits in it, after it has read and lowered the model.
    pipe = folder / "slow.png"
    os.mkfifo(pipe)
    command = [
        EDGEWISE,
        "convert",
        "../net.onnx",
        "--target",
        "rpi4",
        "--samples",
        pipe,
        "--preprocess",
        "unit",
    ]
    child = subprocess.Popen(
        command, cwd=folder / "work", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        writer = _open_when_read(pipe)
        child.send_signal(signal.SIGINT)
        os.close(writer)
        out, err = child.communicate(timeout=LIMIT_S)
    finally:
        child.kill()
        child.wait()
    assert child.returncode == 130
    assert out == "" and "Traceback" not in err
    assert left(folder) == []


def _open_when_read(pipe: Path) -> int:
    """The writing end, once somebody reads the other."""
    for _ in range(LIMIT_S * 20):
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(f"nobody reads {pipe}")


def test_help_needs_no_converter(folder: Path) -> None:
    outcome = edgewise(folder, "--help")
    assert outcome.code == 0
    for option in (
        "--target",
        "--precision",
        "--samples",
        "--preprocess",
        "--shape",
        "--labels",
        "--out",
        "--json",
    ):
        assert option in outcome.out


DETECTOR = case(
    "a = Conv<strides=[8,8]>(x, w) f = Reshape(a, s) y = Relu(f)",
    x=(1, 3, 32, 32), w=(7, 3, 8, 8), s=np.array([1, 7, 16]),
)  # fmt: skip


def test_the_head_of_a_detector_goes_into_the_card(folder: Path) -> None:
    onnx.save(model_of(DETECTOR), folder / "boxes.onnx")
    (folder / "labels.txt").write_text("cat\ndog\nbird\n")
    words = [
        "../boxes.onnx",
        "--target",
        "rpi4",
        "--precision",
        "fp32",
        "--preprocess",
        "unit;resize=letterbox",
    ]
    done = edgewise(folder, *words, "--head", "yolov8", "--labels", "../labels.txt")
    assert done.code == 0, done.err
    with load(folder / "work" / "boxes-rpi4.tflite") as model:
        assert model.task == "object-detection" and model.card is not None
        assert model.card.detection is not None and model.card.detection.head == "yolov8"
        assert model.predict(np.zeros((50, 60, 3), np.uint8)).boxes_xyxy.shape[1] == 4


def test_a_head_beside_another_task_is_refused(folder: Path) -> None:
    onnx.save(model_of(DETECTOR), folder / "boxes.onnx")
    done = edgewise(
        folder, "../boxes.onnx", "--target", "rpi4", "--head", "yolov8", "--task", "image-classification"
    )
    assert done.code == 1 and "expected object-detection" in done.err
    assert not list((folder / "work").iterdir())
