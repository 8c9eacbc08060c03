"""Baseline JPEG files (ITU-T T.81) that no library made: of any coefficients, or broken where a test wants it."""

import struct
from collections.abc import Mapping, Sequence

import numpy as np

DC_COUNTS = bytes([0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0])
AC_COUNTS = bytes([0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125])
"""Codes by length, those of T.81's tables K.3 and K.5: from two bits to sixteen."""
DC_SYMBOLS = bytes(range(12))
AC_SYMBOLS = bytes(
    [
        0x01,
        0x00,
        0x02,
        0x11,
        *(
            run << 4 | size
            for size in range(1, 11)
            for run in range(16)
            if run << 4 | size not in (0x01, 0x02, 0x11)
        ),
        0xF0,
    ]
)
PLACES = sorted(np.ndindex(8, 8), key=lambda at: (sum(at), at[0] if sum(at) % 2 else at[1]))


def codes_of(counts: bytes, symbols: bytes) -> dict[int, str]:
    """The canonical code of each symbol (T.81, annex C)."""
    found, code, place = {}, 0, 0
    for length, count in enumerate(counts, 1):
        for symbol in symbols[place : place + count]:
            found[symbol] = f"{code:0{length}b}"
            code += 1
        place, code = place + count, code << 1
    return found


DC_CODES, AC_CODES = codes_of(DC_COUNTS, DC_SYMBOLS), codes_of(AC_COUNTS, AC_SYMBOLS)


class Bits:
    """Entropy-coded bytes, stuffed."""

    def __init__(self) -> None:
        self.text: list[str] = []

    def code(self, codes: Mapping[int, str], symbol: int) -> None:
        """The code of a symbol."""
        self.text.append(codes[symbol])

    def value(self, value: int) -> int:
        """Its size; the bits are to follow the code, see `number`."""
        return abs(value).bit_length()

    def number(self, value: int, size: int) -> None:
        """The bits of a value (T.81, F.1.2.1)."""
        if size:
            self.text.append(f"{value if value > 0 else value + (1 << size) - 1:0{size}b}")

    def take(self) -> bytes:
        """What was written, filled up with ones."""
        bits = "".join(self.text)
        self.text = []
        bits += "1" * (-len(bits) % 8)
        made = int(bits, 2).to_bytes(len(bits) // 8, "big") if bits else b""
        return made.replace(b"\xff", b"\xff\x00")


def segment(marker: int, content: bytes) -> bytes:
    """A marker and its parameters."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def jpeg_file(
    size_wh: tuple[int, int],
    sampling: Sequence[tuple[int, int]] = ((2, 2), (1, 1), (1, 1)),
    *,
    restart_interval: int = 0,
    seed: int = 0,
    many: float = 6.0,
    sizes: int = 5,
    extra: bytes = b"",
) -> bytes:
    """Coefficients by chance, about ``many`` for a block, of up to ``sizes`` bits.

    ``extra`` comes before the frame header.
    """
    rng = np.random.default_rng(seed)
    most = (max(h for h, _ in sampling), max(v for _, v in sampling))
    if len(sampling) == 1:  # its blocks come one by one (T.81, A.2.2)
        most = (1, 1)
    across, down = (-(-side // (8 * factor)) for side, factor in zip(size_wh, most, strict=True))
    quantization = (1 + np.arange(64) % 3).astype(np.uint8)
    head = b"\xff\xd8" + segment(0xDB, b"\x00" + quantization.tobytes())
    head += segment(0xC4, b"\x00" + DC_COUNTS + DC_SYMBOLS) + segment(0xC4, b"\x10" + AC_COUNTS + AC_SYMBOLS)
    head += segment(0xDD, struct.pack(">H", restart_interval)) if restart_interval else b""
    parts = b"".join(bytes([index + 1, h << 4 | v, 0]) for index, (h, v) in enumerate(sampling))
    head += extra + segment(0xC0, struct.pack(">BHHB", 8, size_wh[1], size_wh[0], len(sampling)) + parts)
    chosen = b"".join(bytes([index + 1, 0]) for index in range(len(sampling)))
    head += segment(0xDA, bytes([len(sampling)]) + chosen + b"\x00\x3f\x00")
    body, bits, before = b"", Bits(), [0] * len(sampling)
    for group in range(across * down):
        if restart_interval and group and group % restart_interval == 0:
            body += bits.take() + bytes([0xFF, 0xD0 + (group // restart_interval - 1) % 8])
            before = [0] * len(sampling)
        for index, (h, v) in enumerate(sampling):
            for _ in range(h * v if len(sampling) > 1 else 1):
                before[index] = _block(bits, rng, before[index], many, sizes)
    return head + body + bits.take() + b"\xff\xd9"


def _block(bits: Bits, rng: np.random.Generator, before: int, many: float, sizes: int) -> int:
    dc = int(np.clip(before + rng.integers(-30, 31), -120, 120))
    bits.code(DC_CODES, size := bits.value(dc - before))
    bits.number(dc - before, size)
    places = np.flatnonzero(rng.random(63) < many / 63) + 1
    last = 0
    for place in places:
        run = int(place) - last - 1
        while run > 15:
            bits.code(AC_CODES, 0xF0)
            run -= 16
        value = int(rng.integers(1, 2 ** rng.integers(1, sizes + 1))) * int(rng.choice((-1, 1)))
        bits.code(AC_CODES, run << 4 | (size := bits.value(value)))
        bits.number(value, size)
        last = int(place)
    if last < 63:
        bits.code(AC_CODES, 0x00)
    return dc
