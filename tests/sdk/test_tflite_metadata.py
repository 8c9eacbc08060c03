"""The standard metadata: what we write is read back, also by a reader that is not ours."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest

from edgewise import tflite_metadata
from edgewise.archive import start_of_archive
from edgewise.errors import ModelFileError
from edgewise.flatbuffer_writer import Writer
from edgewise.testing import tiny_card, write_tiny_model
from edgewise.tflite_check import check_structure

READER = "tflite-support==0.4.4"
"""Google's own reader of TFLite Metadata; the last release, for Python 3.11 at most."""


def test_what_is_encoded_is_decoded() -> None:
    read = tflite_metadata.decode(tflite_metadata.encode(tiny_card()))
    (given,) = read.inputs
    assert (read.name, given.name, given.is_image, given.colour) == ("tiny", "image", True, "rgb")
    assert (given.mean, given.std, given.minimum, given.maximum) == ((0.0,), (255.0,), (0.0,), (1.0,))
    assert read.labels_file == "labels.txt"
    assert [file.name for file in read.files] == ["edgewise.json", "edgewise_golden.npz"]


def test_the_metadata_is_found_in_a_file(tiny: Path) -> None:
    assert tflite_metadata.of_tflite(tiny.read_bytes()) == tflite_metadata.encode(tiny_card())


def test_what_is_no_tflite_file_has_no_metadata() -> None:
    for data in (b"", b"TFL3", b"\0\0\0\0ABCD" + bytes(100)):
        with pytest.raises(ModelFileError):
            tflite_metadata.of_tflite(data)


def test_any_truncation_is_an_error_of_ours(tiny: Path) -> None:
    data = tiny.read_bytes()
    whole = start_of_archive(data)
    check_structure(data[:whole])
    for size in range(0, whole - 16, 3):  # the last bytes may be padding, which nothing refers to
        with pytest.raises(ModelFileError):
            check_structure(data[:size])


def test_random_damage_is_an_error_of_ours_or_harmless(tiny: Path) -> None:
    data = np.frombuffer(tiny.read_bytes(), np.uint8)
    rng = np.random.default_rng(1)
    refused = 0
    for _ in range(3000):
        damaged = data.copy()
        places = rng.integers(8, len(data), 6)
        damaged[places] = rng.integers(0, 256, 6, dtype=np.uint8)
        try:
            check_structure(damaged.tobytes())
            encoded = tflite_metadata.of_tflite(damaged.tobytes())
            tflite_metadata.decode(encoded or b"")
        except ModelFileError:
            refused += 1
    assert refused > 300


def test_tables_shared_a_million_times_are_not_followed_for_ever() -> None:
    writer = Writer()
    file = writer.table(5, {0: writer.text("labels.txt")})
    tensor = writer.table(7, {6: writer.tables([file] * 2000)})
    subgraph = writer.table(10, {2: writer.tables([tensor] * 2000)})
    data = writer.finish(writer.table(8, {3: writer.tables([subgraph])}), b"M001")
    assert len(data) < 20_000
    with pytest.raises(ModelFileError, match="describes more than it holds"):
        tflite_metadata.decode(data)


@pytest.fixture(scope="session")
def foreign_python() -> Path:
    """A Python with tflite-support in an environment of its own, since it pins an old protobuf."""
    if sys.version_info >= (3, 12):
        pytest.skip("tflite-support has no wheel for this Python")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "edgewise" / "venvs" / f"tflite-support-0.4.4-py{sys.version_info.minor}"
    python = folder / "bin" / "python"
    stamp = folder / "ready"
    if not stamp.exists():
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--no-deps", READER], check=True)
        subprocess.run([*pip, "numpy<2", "flatbuffers", "protobuf<4"], check=True)
        stamp.touch()
    return python


READ_WITH_TFLITE_SUPPORT = """
import json, sys
from tensorflow_lite_support.metadata.python.metadata import MetadataDisplayer
shown = MetadataDisplayer.with_model_file(sys.argv[1])
files = shown.get_packed_associated_file_list()
labels = shown.get_associated_file_buffer("labels.txt").decode()
print(json.dumps({"metadata": json.loads(shown.get_metadata_json()), "files": files, "labels": labels}))
"""


@pytest.mark.slow
def test_googles_reader_finds_labels_and_normalisation(tmp_path: Path, foreign_python: Path) -> None:
    path = write_tiny_model(tmp_path / "tiny.tflite", dtype="int8", size_wh=(6, 4))
    command = [str(foreign_python), "-c", READ_WITH_TFLITE_SUPPORT, str(path)]
    # The generated protobuf code of that release needs the pure-Python implementation.
    environment = {**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout.splitlines()[-1])
    assert sorted(read["files"]) == ["edgewise.json", "edgewise_golden.npz", "labels.txt"]
    assert read["labels"].split() == ["red", "green", "blue"]
    (subgraph,) = read["metadata"]["subgraph_metadata"]
    (given,) = subgraph["input_tensor_metadata"]
    assert given["content"]["content_properties_type"] == "ImageProperties"
    assert given["content"]["content_properties"]["color_space"] == "RGB"
    assert given["content"]["content_properties"]["default_size"] == {"width": 6, "height": 4}
    assert given["process_units"][0]["options"] == {"mean": [0.0], "std": [255.0]}
    (result,) = subgraph["output_tensor_metadata"]
    assert result["associated_files"][0]["name"] == "labels.txt"
    assert result["associated_files"][0]["type"] == "TENSOR_AXIS_LABELS"
