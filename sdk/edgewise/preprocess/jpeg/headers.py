"""What the headers of a JPEG file say (ITU-T T.81, annex B), as far as reading.py reads such files itself."""

import struct
from dataclasses import dataclass, field

import numpy as np

from edgewise.tensors import FloatArray

_SEQUENTIAL = (0xC0, 0xC1)
_OTHER_FRAMES = (*range(0xC2, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
_HUFFMAN, _ARITHMETIC, _QUANTIZATION, _RESTARTS, _SCAN, _ADOBE = 0xC4, 0xCC, 0xDB, 0xDD, 0xDA, 0xEE


@dataclass(frozen=True)
class Component:
    """Brightness, or one of two colour differences."""

    across: int
    down: int
    """Blocks of 8 x 8 in a group."""
    tables: tuple[int, int]
    """Huffman tables of DC and AC values, 0 or 1 each."""
    quantization: FloatArray
    """float32 (64,), in zigzag order."""


@dataclass(frozen=True)
class JpegFile:
    """A sequential file of 8 bits, Huffman-coded, its one scan interleaved; grey or YCbCr."""

    size_wh: tuple[int, int]
    components: tuple[Component, ...]
    codes: tuple[bytes, bytes, bytes, bytes]
    """DC 0 and 1, AC 0 and 1: 16 counts by length and the symbols; nothing for one that is not used."""
    restart_interval: int
    scan_start: int
    """Where the entropy-coded bytes begin."""

    @property
    def groups_wh(self) -> tuple[int, int]:
        """Groups of blocks across and down: T.81's MCU."""
        luma = self.components[0]
        width, height = self.size_wh
        return -(-width // (8 * luma.across)), -(-height // (8 * luma.down))


class _Other(Exception):
    """A kind of file, or a fault, that is left to Pillow."""


@dataclass
class _Headers:
    codes: dict[tuple[int, int], bytes] = field(default_factory=dict)
    quantization: dict[int, FloatArray] = field(default_factory=dict)
    frame: bytes = b""
    interval: int = 0


def read_headers(file: bytes) -> JpegFile | None:
    """None for whatever is not exactly of the kind that JpegFile describes, broken files among them."""
    try:
        return _read(file)
    except (_Other, struct.error, IndexError, KeyError, ValueError):
        return None


def _read(file: bytes) -> JpegFile:
    if file[:2] != b"\xff\xd8":
        raise _Other
    headers, at = _Headers(), 2
    while True:
        if file[at] != 0xFF:
            raise _Other
        while file[at] == 0xFF:
            at += 1
        marker = file[at]
        (length,) = struct.unpack_from(">H", file, at + 1)
        segment = file[at + 3 : at + 1 + length]
        if len(segment) != length - 2:
            raise _Other
        at += 1 + length
        if marker == _SCAN:
            return _described(headers, segment, at)
        _take(headers, marker, segment)


def _take(headers: _Headers, marker: int, segment: bytes) -> None:
    if marker == _HUFFMAN:
        while segment:
            count = 17 + sum(segment[1:17])
            headers.codes[segment[0] >> 4, segment[0] & 15] = segment[1:count]
            segment = segment[count:]
    elif marker == _QUANTIZATION:
        while segment:
            kind = ">u2" if segment[0] >> 4 else "u1"
            count = 1 + 64 * np.dtype(kind).itemsize
            values = np.frombuffer(segment[1:count], kind).astype(np.float32)
            if len(values) != 64:
                raise _Other
            headers.quantization[segment[0] & 15] = values
            segment = segment[count:]
    elif marker in _SEQUENTIAL:
        if headers.frame:
            raise _Other
        headers.frame = segment
    elif marker == _RESTARTS:
        (headers.interval,) = struct.unpack(">H", segment)
    elif marker in (*_OTHER_FRAMES, _ARITHMETIC):
        raise _Other
    elif marker == _ADOBE and segment[:5] == b"Adobe" and segment[11:12] != b"\x01":
        raise _Other  # RGB, or CMYK


def _described(headers: _Headers, scan: bytes, start: int) -> JpegFile:
    precision, height, width, count = struct.unpack_from(">BHHB", headers.frame)
    if precision != 8 or not width or not height or count not in (1, 3) or scan[0] != count:
        raise _Other
    if scan[1 + 2 * count :] != b"\x00\x3f\x00" or len(headers.frame) != 6 + 3 * count:
        raise _Other
    components = [_component(headers, scan, index) for index in range(count)]
    identities = headers.frame[6::3]
    if identities == b"RGB":
        raise _Other
    luma, *chroma = components
    if count == 1:  # blocks of a single component come one by one, whatever it says (T.81, A.2.2)
        components = [Component(1, 1, luma.tables, luma.quantization)]
    elif not {luma.across, luma.down} <= {1, 2} or any((one.across, one.down) != (1, 1) for one in chroma):
        raise _Other
    used = {(kind, one.tables[kind]) for one in components for kind in (0, 1)}
    codes = [
        headers.codes[key] if (key := (kind, which)) in used else bytes(16)
        for kind in (0, 1)
        for which in (0, 1)
    ]
    return JpegFile(
        (width, height), tuple(components), (codes[0], codes[1], codes[2], codes[3]), headers.interval, start
    )


def _component(headers: _Headers, scan: bytes, index: int) -> Component:
    identity, sampling, quantization = headers.frame[6 + 3 * index : 9 + 3 * index]
    chosen, tables = scan[1 + 2 * index : 3 + 2 * index]
    if chosen != identity or tables >> 4 > 1 or tables & 15 > 1:
        raise _Other
    return Component(
        sampling >> 4, sampling & 15, (tables >> 4, tables & 15), headers.quantization[quantization]
    )
