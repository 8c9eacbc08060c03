"""What options of the commands say, read; wrong usage is typer.BadParameter."""

from collections.abc import Sequence

import typer


def one_of(option: str, value: str, allowed: tuple[str, ...]) -> str:
    """The value, if it is one of those allowed."""
    if value not in allowed:
        raise typer.BadParameter(f"{option}: got '{value}', expected one of {', '.join(allowed)}")
    return value


def parse_shape(text: str) -> tuple[str, tuple[int, ...]]:
    """NAME=1,3,224,224 as a name and its numbers."""
    name, equals, numbers = text.rpartition("=")
    try:
        shape = tuple(int(number) for number in numbers.split(","))
    except ValueError:
        shape = ()
    if not equals or not name or not shape or min(shape) < 1:
        raise typer.BadParameter(f"--shape: got '{text}', expected NAME=1,3,224,224")
    return name, shape


def parse_layout(text: str) -> tuple[str, str]:
    """NAME=nchw as a name and its layout; nchw alone is of the only input, whose name is left empty."""
    name, equals, layout = text.rpartition("=")
    if layout not in ("nchw", "nhwc") or (equals and not name):
        raise typer.BadParameter(f"--layout: got '{text}', expected nchw, nhwc or NAME=nchw")
    return name, layout


def parse_value(text: str) -> tuple[str, float]:
    """NAME=16000 as a name and its number."""
    name, _, number = text.rpartition("=")
    try:
        value = float(number)
    except ValueError:
        name = ""
    if not name:
        raise typer.BadParameter(f"--value: got '{text}', expected NAME=16000")
    return name, value


def parse_feedback(texts: Sequence[str]) -> dict[str, str]:
    """OUTPUT=INPUT of each as a mapping; auto alone asks for what names and shapes tell."""
    if list(texts) == ["auto"]:
        return {"auto": ""}
    pairs = {}
    for text in texts:
        output, _, name = text.rpartition("=")
        if not output or not name:
            raise typer.BadParameter(f"--feedback: got '{text}', expected OUTPUT=INPUT, or auto alone")
        pairs[output] = name
    return pairs


def parse_share(option: str, text: str) -> float:
    """1% or 0.01 as a share between 0 and 1."""
    number, percent, rest = text.partition("%")
    try:
        share = float(number) / (100 if percent else 1)
    except ValueError:
        share = -1.0
    if rest or not 0 < share < 1:
        raise typer.BadParameter(f"{option}: got '{text}', expected a share such as 1% or 0.01")
    return share
