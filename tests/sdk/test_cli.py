"""The `edgewise` command as its user meets it: real processes, exit codes, stdout and stderr."""

import json
import os
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgewise import tiny_model
from edgewise.model_file import read_model
from edgewise.testing import tiny_card, tiny_golden, write_tiny_model

EDGEWISE = str(Path(sys.executable).with_name("edgewise"))


def edgewise(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    command = [EDGEWISE, *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with a red and a blue picture, a broken one, and a text file."""
    folder = tmp_path / "pictures"
    (folder / "deeper").mkdir(parents=True)
    Image.new("RGB", (20, 20), "red").save(folder / "a.png")
    Image.new("RGB", (20, 20), "blue").save(folder / "deeper" / "c.JPG", "jpeg")
    (folder / "b.jpg").write_bytes(b"not a picture")
    (folder / "notes.txt").write_text("hello")
    return folder


def test_version_and_help() -> None:
    assert edgewise("--version").stdout == f"edgewise {version('edgewise')}\n"
    done = edgewise("--help")
    assert done.returncode == 0
    assert all(name in done.stdout for name in ("convert", "inspect", "run", "agent", "fleet"))


def test_help_imports_nothing_heavy() -> None:
    code = """
import sys
from edgewise import cli
sys.argv = ["edgewise", "--help"]
try:
    cli.main()
except SystemExit as ended:
    assert ended.code == 0, ended.code
heavy = {"numpy", "PIL", "onnx", "onnxruntime", "flatbuffers", "nicegui", "paho", "msgspec", "ai_edge_litert"}
loaded = heavy & {name.split(".")[0] for name in sys.modules}
assert not loaded, loaded
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_run_shows_the_answers(tiny: Path, pictures: Path) -> None:
    done = edgewise("run", tiny, pictures / "a.png", "--top", 2)
    assert (done.returncode, done.stderr) == (0, "")
    first, best, second = done.stdout.splitlines()
    assert first.startswith(str(pictures / "a.png"))
    assert best == "  0.999  red"
    assert second.split()[0] == "0.000"


def test_run_on_a_folder_shows_the_good_and_reports_the_broken(tiny: Path, pictures: Path) -> None:
    done = edgewise("run", tiny, pictures, "--json")
    assert done.returncode == 1
    first, broken, last = map(json.loads, done.stdout.splitlines())
    assert first["categories"][0]["label"] == "red"
    assert last["categories"][0]["label"] == "blue"
    assert broken["input"] == str(pictures / "b.jpg")
    assert done.stderr == f"error: {broken['error']}\n"
    assert "not a picture of a kind that Pillow knows" in broken["error"]


def test_run_takes_arrays(tiny: Path, tmp_path: Path) -> None:
    array = np.full((1, 8, 8, 3), 0.25, np.float32)
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", image=array)
    done = edgewise("run", tiny, tmp_path / "a.npy", tmp_path / "a.npz", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    for line in done.stdout.splitlines():
        scores = json.loads(line)["outputs"]["scores"]
        assert scores["shape"] == [1, 3]
        assert scores["values"] == pytest.approx([2, 2, 2], abs=1e-5)
    assert "scores  float32 1 x 3" in edgewise("run", tiny, tmp_path / "a.npy").stdout


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.npy", b"", "cannot read arrays"),
        ("bad.npz", b"PK\x03\x04nothing", "cannot read arrays"),
        ("gone.npy", None, "no such file"),
        ("gone.jpg", None, "no such file"),
        ("folder", "", "no pictures in this folder"),
    ],
)
def test_bad_inputs_are_one_line_each(
    tiny: Path, tmp_path: Path, name: str, content: bytes | str | None, message: str
) -> None:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        path.mkdir()
    done = edgewise("run", tiny, path)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {path}: ")
    assert message in line


def test_a_picture_too_large_is_one_line(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.new("1", (10_000, 10_000)).save(path)
    done = edgewise("run", tiny, path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {path}: too large: 10000 x 10000 pixels, expected at most ")


def test_bad_models_are_one_line_each(tmp_path: Path, tiny: Path) -> None:
    for name, content in (
        ("empty", b""),
        ("text", b"hello, world"),
        ("cut", tiny.read_bytes()[:500]),
        ("cut_zip", tiny.read_bytes()[:-30]),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        for command in (["inspect", path], ["run", path, "x.jpg"]):
            done = edgewise(*command)
            assert (done.returncode, done.stdout) == (1, ""), name
            (line,) = done.stderr.splitlines()
            assert line.startswith(f"error: {path}: "), line


def test_a_model_that_cannot_predict_says_so_once(tmp_path: Path, pictures: Path) -> None:
    path = tmp_path / "foreign.tflite"
    path.write_bytes(tiny_model.tflite_model((4, 4), 3))
    done = edgewise("run", path, pictures)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {path}: the file does not say how a picture becomes its input")


def test_a_wrong_backend_is_one_line(tiny: Path) -> None:
    done = edgewise("run", tiny, "x.jpg", "--backend", "tensorrt")
    assert done.returncode == 1
    assert done.stderr.startswith("error: backend for .tflite: got 'tensorrt', expected one of litert, ")


def test_usage_errors_end_with_2() -> None:
    for arguments in (
        ["run"],
        ["run", "a", "b", "--top", "0"],
        ["nonsense"],
        ["inspect", "--no-such-option"],
    ):
        done = edgewise(*arguments)
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert "Usage: edgewise" in done.stderr


def test_inspect_shows_a_page(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "a.tflite", dtype="int8")
    done = edgewise("inspect", path, "--self-test")
    assert (done.returncode, done.stderr) == (0, "")
    for text in (
        "TensorFlow Lite, ",
        "image, int8 1 x 8 x 8 x 3, nhwc, scale 0.00392157, zero point -128",
        "RGB picture, stretch to 8 x 8, bilinear, (pixel - 0) / 255",
        "3: red, green, blue",
        "2 cases, at least 40 dB",
        "litert",
        "passed: 2 golden cases in litert",
        read_model(path).sha256(),
    ):
        assert text in done.stdout


def test_inspect_json_is_everything(tmp_path: Path) -> None:
    for suffix in ("tflite", "onnx"):
        path = write_tiny_model(tmp_path / f"a.{suffix}")
        values = json.loads(edgewise("inspect", path, "--json", "--self-test").stdout)
        assert values["format"] == suffix
        assert values["card"]["labels"] == ["red", "green", "blue"]
        assert values["inputs"][0]["layout"] == ("nhwc" if suffix == "tflite" else "nchw")
        assert values["self_test"]["passed"] is True
        assert "" in values["backends"].values()


def test_a_failed_self_test_ends_with_1(tmp_path: Path) -> None:
    right, wrong = tiny_golden(tiny_card())
    path = write_tiny_model(tmp_path / "a.tflite", golden=[right, type(wrong)(wrong.inputs, right.outputs)])
    done = edgewise("inspect", path, "--self-test")
    assert done.returncode == 1
    assert "FAILED: 2 golden cases" in done.stdout
    assert edgewise("inspect", path).returncode == 0


def test_a_closed_pipe_is_quiet(tiny: Path, pictures: Path) -> None:
    many = " ".join([str(pictures / "a.png")] * 40)
    done = subprocess.run(
        ["bash", "-c", f"{EDGEWISE} run {tiny} {many} | head -1"], capture_output=True, text=True, check=False
    )
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


def test_ctrl_c_ends_with_130(tiny: Path, pictures: Path) -> None:
    many = [str(pictures / "a.png")] * 2000
    with subprocess.Popen(
        [EDGEWISE, "run", str(tiny), *many, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in errors


def run_with_commands(tmp_path: Path, module: str, entries: str, *arguments: str, **environment: str) -> str:
    """Run the command with a package that adds subcommands to it; stdout, stderr and the exit code."""
    (tmp_path / "extra_commands.py").write_text(module)
    info = tmp_path / "extra_commands-1.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: extra-commands\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[edgewise.commands]\n{entries}\n")
    done = edgewise(*arguments, PYTHONPATH=str(tmp_path), **environment)
    return f"{done.stdout}{done.stderr}exit code {done.returncode}"


def test_other_packages_add_commands_and_groups(tmp_path: Path) -> None:
    module = (
        "import typer\n"
        "def hello(name: str) -> None:\n    'Greet.'\n    typer.echo(f'hello {name}')\n"
        "group = typer.Typer(help='A group.')\n"
        "@group.command()\ndef one() -> None:\n    typer.echo('one')\n"
        "@group.command()\ndef two() -> None:\n    raise typer.Exit(7)\n"
    )
    entries = "hello = extra_commands:hello\ngroup = extra_commands:group"
    assert run_with_commands(tmp_path, module, entries, "hello", "you") == "hello you\nexit code 0"
    assert run_with_commands(tmp_path, module, entries, "group", "one") == "one\nexit code 0"
    assert run_with_commands(tmp_path, module, entries, "group", "two") == "exit code 7"
    assert "Greet." in run_with_commands(tmp_path, module, entries, "--help")


def test_a_command_that_cannot_be_imported_leaves_the_others_alone(tmp_path: Path) -> None:
    module = "import no_such_library\n"
    entries = "broken = extra_commands:app"
    shown = run_with_commands(tmp_path, module, entries, "--help")
    assert "broken" in shown
    assert "inspect" in shown
    expected = (
        "error: broken is not available: this needs 'no_such_library', which is not installed: "
        "pip install 'no_such_library'\nexit code 1"
    )
    assert run_with_commands(tmp_path, module, entries, "broken", "--any", "option") == expected


def test_a_library_missing_while_running_is_one_line(tmp_path: Path) -> None:
    module = "def command() -> None:\n    import no_such_library\n"
    shown = run_with_commands(tmp_path, module, "lazy = extra_commands:command", "lazy")
    assert shown == (
        "error: this needs 'no_such_library', which is not installed: pip install 'no_such_library'\nexit code 1"
    )


def test_errors_with_an_exit_code_are_one_line_and_others_say_internal(tmp_path: Path) -> None:
    module = (
        "class Known(Exception):\n    exit_code = 3\n"
        "def known() -> None:\n    raise Known('the disk is full')\n"
        "def unknown() -> None:\n    raise ZeroDivisionError('oops')\n"
    )
    entries = "known = extra_commands:known\nunknown = extra_commands:unknown"
    assert run_with_commands(tmp_path, module, entries, "known") == "error: the disk is full\nexit code 3"
    shown = run_with_commands(tmp_path, module, entries, "unknown")
    assert shown.startswith("internal error: ZeroDivisionError: oops (set EDGEWISE_DEBUG=1")
    assert shown.endswith("exit code 1")
    assert "Traceback" not in shown
    assert "Traceback" in run_with_commands(tmp_path, module, entries, "unknown", EDGEWISE_DEBUG="1")
