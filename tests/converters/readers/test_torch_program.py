"""A torch program as a source: in a process that has torch, and what is said where it is missing."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edgewise_converters.errors import RuntimeMissing, SourceError
from edgewise_converters.original import Original
from edgewise_converters.readers.source import TORCH, format_of
from export_nets import REQUIREMENTS
from model_sources.environments import environment

CHILD = Path(__file__).with_name("torch_child.py")
LIMIT_S = 300
FLOAT32_DB = 100.0
HALF_DB = 50.0


@pytest.mark.slow
def test_a_program_converts_and_answers_as_torch_does(tmp_path: Path) -> None:
    torch_python = environment("nets", REQUIREMENTS)
    (site_packages,) = torch_python.parents[1].glob("lib/python3*/site-packages")
    done = subprocess.run(
        [sys.executable, str(CHILD), str(tmp_path), str(site_packages)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True, text=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["db"]["fp32"] > FLOAT32_DB and told["db"]["fp16"] > HALF_DB
    assert told["compared"] > FLOAT32_DB
    assert told["format"] == "pt2"
    assert told["shapes"] == {"image": [1, 16, 16, 3], "gain": [1]}
    assert "holds weights or a pickled module, not a network" in told["weights.pt"]
    assert "is cut off" in told["cut.pt2"] or "damaged" in told["cut.pt2"]
    assert told["left"] == []
    assert "holds pickled objects other than tensors" in told["trap.pt2"]
    assert told["sprung"] is False


def archive(path: Path, name: str) -> Path:
    with zipfile.ZipFile(path, "w") as written:
        written.writestr(f"net/{name}", "pt2")
    return path


def test_a_program_is_known_by_its_content(tmp_path: Path) -> None:
    assert format_of(archive(tmp_path / "net.bin", "archive_format")) == TORCH


@pytest.mark.skipif("torch" in sys.modules, reason="torch is loaded here")
def test_without_torch_the_error_says_what_to_install(tmp_path: Path) -> None:
    import importlib.util

    if importlib.util.find_spec("torch") or importlib.util.find_spec("onnxscript"):
        pytest.skip("torch is installed here")
    with (
        Original(archive(tmp_path / "net.pt2", "archive_format")) as original,
        pytest.raises(RuntimeMissing, match=r"pip install 'edgewise\[train\]'"),
    ):
        original.lower(lambda _: None)


def test_a_value_is_for_onnx_models(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="expected an ONNX model for it"):
        Original(archive(tmp_path / "net.pt2", "archive_format"), values={"rate": 16000})
