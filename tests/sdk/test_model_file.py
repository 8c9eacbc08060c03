"""What model files carry: written, read, replaced, and refused when damaged."""

import io
import os
import resource
import signal
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgewise import golden, tiny_model
from edgewise.archive import pack
from edgewise.errors import CardError, ModelFileError
from edgewise.model_card import GOLDEN_FILE, Golden
from edgewise.model_file import read_model, write_model
from edgewise.testing import TINY_LABELS, tiny_card, tiny_golden, write_tiny_model

SUFFIXES = ("tflite", "onnx")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_card_labels_and_golden_cases_survive(tmp_path: Path, suffix: str) -> None:
    path = write_tiny_model(tmp_path / f"a.{suffix}")
    model = read_model(path)
    card = tiny_card(form=suffix)
    assert (model.format, model.card, model.labels) == (suffix, card, TINY_LABELS)
    assert model.size_bytes == path.stat().st_size
    for got, expected in zip(model.golden(), tiny_golden(card), strict=True):
        assert np.array_equal(got.inputs["image"], expected.inputs["image"])
        assert np.array_equal(got.outputs["scores"], expected.outputs["scores"])
        assert got.inputs["image"].dtype == expected.inputs["image"].dtype


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_format_is_recognised_by_content(tmp_path: Path, suffix: str) -> None:
    path = write_tiny_model(tmp_path / f"a.{suffix}")
    assert read_model(path.rename(tmp_path / "a.bin")).format == suffix


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_content_gives_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    first = write_tiny_model(tmp_path / f"a.{suffix}")
    second = write_tiny_model(tmp_path / f"b.{suffix}")
    assert first.read_bytes() == second.read_bytes()
    assert read_model(first).sha256() == read_model(second).sha256()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_writing_again_replaces_what_was_there(tmp_path: Path, suffix: str) -> None:
    path = write_tiny_model(tmp_path / f"a.{suffix}")
    card = replace(tiny_card(form=suffix), labels=("x", "y", "z"), golden=None, name="other")
    write_model(path, path.read_bytes(), card=card)
    model = read_model(path)
    assert (model.card, model.labels, model.golden()) == (card, ("x", "y", "z"), ())
    write_model(
        path, path.read_bytes(), card=tiny_card(form=suffix), golden=tiny_golden(tiny_card(form=suffix))
    )
    assert path.read_bytes() == write_tiny_model(tmp_path / f"b.{suffix}").read_bytes()


def test_an_onnx_file_is_still_valid_and_keeps_foreign_properties(tmp_path: Path) -> None:
    network = onnx.load_from_string(tiny_model.onnx_model((8, 8), 3))
    onnx.helper.set_model_props(network, {"author": "somebody", "labels": "old"})
    path = tmp_path / "a.onnx"
    write_model(path, network.SerializeToString(), card=replace(tiny_card(form="onnx"), golden=None))
    onnx.checker.check_model(onnx.load(path), full_check=True)
    properties = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert properties["author"] == "somebody"
    assert properties["labels"] == "red\ngreen\nblue"
    assert read_model(path).properties == {"author": "somebody"}


def test_a_tflite_file_is_a_zip_of_stored_files(tiny: Path) -> None:
    with zipfile.ZipFile(tiny) as archive:
        assert archive.testzip() is None
        assert archive.read("labels.txt") == b"red\ngreen\nblue\n"
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}


def test_a_foreign_tflite_file_gives_its_labels(tmp_path: Path, tiny: Path) -> None:
    network = tiny.read_bytes()
    path = tmp_path / "foreign.tflite"
    metadata = read_model(tiny).metadata
    assert metadata is not None
    from edgewise.flatbuffer_writer import Writer

    writer = Writer()
    file = writer.table(5, {0: writer.text("my_labels.txt")}, bytes_={2: 2})
    tensor = writer.table(7, {6: writer.tables([file])})
    subgraph = writer.table(10, {3: writer.tables([tensor])})
    encoded = writer.finish(writer.table(8, {3: writer.tables([subgraph])}), b"M001")
    network = tiny_model.tflite_model((2, 2), 3, metadata=encoded)
    path.write_bytes(network + pack({"my_labels.txt": b"a\r\nb\r\nc"}, behind=len(network)))
    model = read_model(path)
    assert (model.card, model.labels) == (None, ("a", "b", "c"))


def test_a_bare_network_has_no_card(tmp_path: Path) -> None:
    path = tmp_path / "bare.tflite"
    path.write_bytes(tiny_model.tflite_model((2, 2), 3))
    model = read_model(path)
    assert (model.card, model.labels, model.metadata, model.golden()) == (None, (), None, ())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "got an empty file"),
        (b"hello, this is text", "begins with b'hello, this is t"),
        (b"\x89PNG\r\n\x1a\n" + bytes(64), "expected a TensorFlow Lite or ONNX model"),
        (b"\x08\x08" + b"\x3a\xff\xff\x03" + bytes(50), "truncated or damaged: field 7"),
        (b"\x08\x08", "expected an ONNX model with a graph"),
        (b"\x1c\0\0\0TFL3" + bytes(3), "truncated or damaged"),
    ],
)
def test_what_is_no_model_is_refused_by_name(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=message) as caught:
        read_model(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_a_folder_and_a_lost_file_are_refused(tmp_path: Path, tiny: Path) -> None:
    with pytest.raises(ModelFileError, match=r"no\.tflite: cannot read: No such file"):
        read_model(tmp_path / "no.tflite")
    with pytest.raises(ModelFileError, match="cannot read: Is a directory"):
        read_model(tmp_path)
    model = read_model(tiny)
    tiny.unlink()
    for read in (model.golden, model.sha256):
        with pytest.raises(ModelFileError, match="cannot read"):
            read()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_truncation_passes_for_a_whole_file(tmp_path: Path, suffix: str) -> None:
    data = write_tiny_model(tmp_path / f"a.{suffix}").read_bytes()
    path = tmp_path / "cut"
    for size in range(0, len(data) - 1, 13):
        path.write_bytes(data[:size])
        try:
            assert read_model(path).golden() == ()  # an .onnx file cut between two properties is whole
        except (ModelFileError, CardError):
            continue
        assert suffix == "onnx"


def test_damaged_bytes_give_our_errors_only(tmp_path: Path, tiny: Path, tiny_onnx: Path) -> None:
    path = tmp_path / "damaged"
    rng = np.random.default_rng(3)
    for original in (tiny, tiny_onnx):
        data = np.frombuffer(original.read_bytes(), np.uint8)
        for _ in range(300):
            damaged = data.copy()
            damaged[rng.integers(8, len(data), 4)] = rng.integers(0, 256, 4, dtype=np.uint8)
            path.write_bytes(damaged.tobytes())
            try:
                read_model(path).golden()
            except (ModelFileError, CardError) as error:
                assert str(path) in str(error)


def test_a_zip_bomb_is_refused_before_it_is_unpacked() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for index in range(3):
            archive.writestr(f"case00{index}_input0.npy", bytes(golden.LIMIT_BYTES // 2))
    assert len(stream.getvalue()) < 2_000_000
    with pytest.raises(ModelFileError, match=r"unpacks to .* expected at most"):
        golden.decode(stream.getvalue(), tiny_card(), what="bomb")


def test_an_array_that_promises_more_than_it_holds_is_refused() -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(  # type: ignore[no-untyped-call]  # the library has no types there
        header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 40,)}
    )
    data = pack({"case000_input0.npy": header.getvalue()})
    card = replace(tiny_card(), golden=Golden(1, 40.0))
    with pytest.raises(ModelFileError, match="got 0 bytes for float32"):
        golden.decode(data, card, what="liar")


def test_pickled_objects_are_refused() -> None:
    stream = io.BytesIO()
    np.save(stream, np.array([{}], dtype=object), allow_pickle=True)
    data = pack({"case000_input0.npy": stream.getvalue()})
    with pytest.raises(ModelFileError):
        golden.decode(data, tiny_card(), what="pickle")


def test_golden_cases_must_be_what_the_card_says(tmp_path: Path) -> None:
    card = tiny_card()
    network = tiny_model.tflite_model((8, 8), 3)
    with pytest.raises(CardError, match="got 1, and the card says 2"):
        write_model(tmp_path / "a.tflite", network, card=card, golden=tiny_golden(card)[:1])
    wrong = replace(tiny_golden(card)[0], outputs={"other": np.zeros(1)})
    with pytest.raises(CardError, match=r"got \['other'\], expected \['scores'\]"):
        write_model(tmp_path / "a.tflite", network, card=card, golden=[wrong, wrong])
    assert list(tmp_path.iterdir()) == []


def test_a_golden_file_that_is_gone_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tflite"
    network, card = tiny_model.tflite_model((8, 8), 3), {"edgewise.json": tiny_card().to_json().encode()}
    path.write_bytes(network + pack(card, behind=len(network)))
    with pytest.raises(ModelFileError, match="card speaks of golden cases and the file has none"):
        read_model(path).golden()
    path.write_bytes(network + pack({**card, GOLDEN_FILE: b"not a zip"}, behind=len(network)))
    with pytest.raises(ModelFileError, match=r"case000_input0\.npy' is missing"):
        read_model(path).golden()


def test_an_unwritable_place_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    card = replace(tiny_card(), golden=None)
    network = tiny_model.tflite_model((8, 8), 3)
    with pytest.raises(ModelFileError, match="cannot write: No such file or directory"):
        write_model(tmp_path / "no" / "a.tflite", network, card=card)
    (tmp_path / "folder.tflite").mkdir()
    with pytest.raises(ModelFileError, match="cannot write: Is a directory"):
        write_model(tmp_path / "folder.tflite", network, card=card)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.tflite"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, tiny: Path) -> None:
    before = tiny.read_bytes()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))
    try:
        with pytest.raises(ModelFileError, match="cannot write: File too large"):
            write_model(tiny, before, card=replace(tiny_card(), golden=None))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert tiny.read_bytes() == before
    assert os.listdir(tmp_path) == ["tiny.tflite"]  # noqa: PTH208


def test_the_card_is_read_without_a_runtime(tiny: Path) -> None:
    code = f"""
import sys
from edgewise import read_model
assert read_model({str(tiny)!r}).card.name == "tiny"
heavy = ("ai_edge_litert", "tflite_runtime", "onnx", "onnxruntime", "PIL")
loaded = [name for name in sys.modules if name.split(".")[0] in heavy]
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", code], check=True)
