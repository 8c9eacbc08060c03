"""Small files of /proc and /sys: what cannot be read is None, never a guess."""

from pathlib import Path

ROOT = Path("/")
Readings = dict[str, float | int | None]


def read_text(path: Path) -> str | None:
    """Its text without surrounding blanks; None when it cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except (OSError, ValueError):
        return None


def read_int(path: Path, *, base: int = 10) -> int | None:
    """The whole number it holds; None for anything else. ``base`` 0 reads what ``0x`` begins as hexadecimal."""
    text = read_text(path)
    try:
        return None if text is None else int(text, base)
    except ValueError:
        return None


def read_table(path: Path) -> dict[str, int]:
    """Lines ``Key: number [unit]`` as in /proc/meminfo and smaps_rollup; other lines are left out."""
    table = {}
    for line in (read_text(path) or "").splitlines():
        key, colon, value = line.partition(":")
        words = value.split()
        if colon and words and words[0].isdigit():
            table[key.strip()] = int(words[0])
    return table
