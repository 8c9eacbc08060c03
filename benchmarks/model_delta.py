"""Does a delta pay? Sizes of bsdiff4 and zstd --patch-from deltas between pairs of model files, and of the file itself.

.venv/bin/pip install bsdiff4 zstandard
.venv/bin/python benchmarks/model_delta.py OLD NEW [OLD NEW ...]
"""

import resource
import sys
import time
from pathlib import Path

import bsdiff4
import zstandard

LEVEL = 19


def main() -> None:
    """One line of a table for each pair."""
    print("| from | to | bytes | zstd | zstd patch | bsdiff | apply zstd s | apply bsdiff s |")
    print("|---|---|---|---|---|---|---|---|")
    paths = [Path(argument) for argument in sys.argv[1:]]
    for old_path, new_path in zip(paths[::2], paths[1::2], strict=True):
        print(measure(old_path, new_path), flush=True)
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"peak memory, making included: {peak_kb / 1024:.0f} MB", file=sys.stderr)


def measure(old_path: Path, new_path: Path) -> str:
    """Make both deltas, apply them, compare, and say how large they are."""
    old, new = old_path.read_bytes(), new_path.read_bytes()
    alone = len(zstandard.ZstdCompressor(level=LEVEL).compress(new))
    base = zstandard.ZstdCompressionDict(old, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    log = max(len(old).bit_length(), len(new).bit_length()) + 1
    parameters = zstandard.ZstdCompressionParameters.from_level(LEVEL, window_log=log, enable_ldm=True)
    patch = zstandard.ZstdCompressor(dict_data=base, compression_params=parameters).compress(new)
    began_s = time.perf_counter()
    applied = zstandard.ZstdDecompressor(dict_data=base, max_window_size=1 << log).decompress(patch)
    zstd_s = time.perf_counter() - began_s
    delta = bsdiff4.diff(old, new)
    began_s = time.perf_counter()
    patched = bsdiff4.patch(old, delta)
    bsdiff_s = time.perf_counter() - began_s
    assert applied == patched == new
    shares = " | ".join(f"{size / len(new):.1%}" for size in (alone, len(patch), len(delta)))
    return f"| {old_path.stem} | {new_path.stem} | {len(new):,} | {shares} | {zstd_s:.2f} | {bsdiff_s:.2f} |"


if __name__ == "__main__":
    main()
