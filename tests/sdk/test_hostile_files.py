"""Files made to do harm: each is an error of ours, in bounded memory, and nothing in it is executed.

A child with little memory reads what hypothesis draws, so that a case that fills it or kills it fails by itself.
"""

import io
import json
import re
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgewise import archive, golden, onnx_properties, tiny_model
from edgewise.errors import ModelFileError
from edgewise.model_card import GOLDEN_FILE
from edgewise.testing import tiny_card, tiny_golden

CARD_FILE, LABELS_FILE = "edgewise.json", "labels.txt"
NETWORK = tiny_model.tflite_model((8, 8), 3)
ONNX = tiny_model.onnx_model((8, 8), 3)
CARD = tiny_card().to_json()
PROOF = golden.encode(tiny_golden(tiny_card()), tiny_card())
READER = Path(__file__).with_name("hostile_reader.py")
MANY = settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

Read = Callable[[bytes], str]


class Reader:
    """The child, started again where a case ended it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._child = self._start()

    def _start(self) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, READER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert child.stdout
        assert child.stdout.readline() == "ready\n"
        return child

    def __call__(self, content: bytes) -> str:
        self._path.write_bytes(content)
        assert self._child.stdin and self._child.stdout
        self._child.stdin.write(f"{self._path}\n")
        self._child.stdin.flush()
        said = self._child.stdout.readline().strip()
        if not said:
            code = self._child.wait()
            self._child.stdin.close()
            self._child.stdout.close()
            self._child = self._start()
            return f"BROKEN: it ended with {code}"
        return said

    def close(self) -> None:
        assert self._child.stdin and self._child.stdout
        self._child.stdin.close()
        self._child.wait()
        self._child.stdout.close()


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Read]:
    reader = Reader(tmp_path_factory.mktemp("hostile") / "model")
    yield reader
    reader.close()


def with_files(files: dict[str, bytes]) -> bytes:
    return NETWORK + archive.pack(files, behind=len(NETWORK))


def with_proof(members: dict[str, bytes], card: str = CARD) -> bytes:
    return with_files({CARD_FILE: card.encode(), GOLDEN_FILE: archive.pack(members, compress=True)})


def test_the_untouched_file_is_fine(read: Read) -> None:
    assert read(with_files({CARD_FILE: CARD.encode(), GOLDEN_FILE: PROOF})) == "fine"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def places(value: object, at: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    """Every path into a JSON value."""
    yield at
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*at, key))


PLACES = [place for place in places(json.loads(CARD)) if place]


@MANY
@given(place=st.sampled_from(PLACES), value=JSON, form=st.sampled_from(["tflite", "onnx"]))
def test_any_value_anywhere_in_a_card(
    read: Read, place: tuple[object, ...], value: object, form: str
) -> None:
    card = json.loads(CARD)
    inner = card
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    text = json.dumps(card)
    if form == "tflite":
        content = with_files({CARD_FILE: text.encode(), GOLDEN_FILE: PROOF})
    else:
        content = onnx_properties.with_properties(ONNX, {CARD_FILE: text})
    assert not read(content).startswith("BROKEN")


@MANY
@given(data=st.data())
def test_archives_cut_and_flipped(read: Read, data: st.DataObject) -> None:
    whole = with_files({CARD_FILE: CARD.encode(), LABELS_FILE: b"a\nb\nc\n", GOLDEN_FILE: PROOF})
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(0, 6))):
        damaged[data.draw(st.integers(len(NETWORK), len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    end = data.draw(st.integers(len(NETWORK), len(whole)))
    assert not read(bytes(damaged[: end if data.draw(st.booleans()) else len(whole)])).startswith("BROKEN")


HEADER_PIECES = st.sampled_from(
    [
        "{'descr': '<f4', ",
        "'fortran_order': False, ",
        "'shape': (1, 8, 8, 3), }",
        "'shape': (0, 999999999999), }",
    ]
    + [
        "__import__('os')",
        "(",
        "[",
        "{",
        "'",
        "'<O8'",
        "-1",
        "99999999999999999999",
        "\n",
        "lambda: 0",
        "\\",
        "1L",
    ]
)


@MANY
@given(
    pieces=st.lists(HEADER_PIECES, max_size=8),
    body=st.binary(max_size=40),
    version=st.sampled_from([b"\1\0", b"\2\0", b"\0\0"]),
)
def test_any_header_of_a_golden_array(read: Read, pieces: list[str], body: bytes, version: bytes) -> None:
    header = "".join(pieces).encode()
    array = b"\x93NUMPY" + version + struct.pack("<H", len(header)) + header + body
    assert read(with_proof({"case000_input0.npy": array})) in ("ModelFileError", "CardError")


@MANY
@given(text=st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_any_labels(read: Read, text: bytes) -> None:
    assert read(with_files({LABELS_FILE: text})) == "fine"


@pytest.mark.parametrize(
    "name", ["../../edgewise.json", "/etc/passwd", "a/../edgewise.json", "edgewise.json/"]
)
def test_a_path_in_an_archive_is_only_a_name(read: Read, tmp_path: Path, name: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert read(with_files({name: b"no card"})) == "fine"
    assert sorted(tmp_path.rglob("*")) == before


def deflated_beyond(stated: int, real: int) -> bytes:
    """A zip whose only file states one size and unpacks to another."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr(CARD_FILE, bytes(real))
    data = bytearray(stream.getvalue())
    crc = zlib.crc32(bytes(stated))
    for signature, at in ((b"PK\1\2", 16), (b"PK\3\4", 14)):
        place = data.rindex(signature) + at
        data[place : place + 4] = struct.pack("<I", crc)
        data[place + 8 : place + 12] = struct.pack("<I", stated)
    return bytes(data)


def test_a_bomb_that_states_a_small_size_unpacks_to_that(read: Read) -> None:
    bomb = deflated_beyond(stated=100, real=1 << 30)
    assert len(bomb) < 2_000_000
    assert read(NETWORK + bomb) == "CardError"  # a hundred zero bytes are no card


def test_a_bomb_that_states_its_size_is_refused(read: Read) -> None:
    assert read(with_files({}) + deflated_beyond(stated=1 << 30, real=1 << 30)) == "ModelFileError"


def test_a_card_of_millions_of_values_is_refused_in_little_memory(read: Read) -> None:
    content = NETWORK + archive.pack({CARD_FILE: b"[" + b"{}," * 2_600_000 + b"{}]"}, compress=True)
    assert read(content) == "CardError"
    assert read(NETWORK + archive.pack({CARD_FILE: b" " * (9 << 20)}, compress=True)) == "ModelFileError"


def test_an_archive_of_very_many_files_is_refused(read: Read) -> None:
    names = {f"{index}": b"" for index in range(30_000)}
    assert read(with_files(names)) == "ModelFileError"


def test_lzma_and_bzip2_are_refused_by_name() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_LZMA) as target:
        target.writestr("a", b"x" * 100)
    with pytest.raises(ModelFileError, match="'a' is compressed by method 14, expected stored or deflated"):
        archive.unpack(stream, None, limit_bytes=1000, what="model")


def test_a_header_is_never_run(read: Read, tmp_path: Path) -> None:
    target = tmp_path / "ran"
    code = f"{{'descr': open({str(target)!r}, 'w'), 'fortran_order': False, 'shape': (), }}\n".encode()
    array = b"\x93NUMPY\1\0" + struct.pack("<H", len(code)) + code
    assert read(with_proof({"case000_input0.npy": array})) == "ModelFileError"
    assert not target.exists()


def test_what_numpy_writes_is_what_is_read() -> None:
    for array in (
        np.float32(3),
        np.zeros((0, 2)),
        np.arange(6, dtype=np.int8).reshape(2, 3),
        np.array([True]),
    ):
        stream = io.BytesIO()
        np.lib.format.write_array(stream, np.asarray(array), version=(1, 0))  # type: ignore[no-untyped-call]  # the library has no types there
        got = golden._read_array(stream.getvalue(), what="array")
        assert np.array_equal(got, array)
        assert (got.shape, got.dtype) == (np.shape(array), np.asarray(array).dtype)


def test_the_reader_would_notice(read: Read) -> None:
    """A test that cannot fail is a bug: a file in which nothing is wrong but its format is named."""
    assert re.fullmatch("ModelFileError", read(b"no model"))
