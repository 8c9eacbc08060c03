"""Findings to one HTML file that needs nothing else."""

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from edgewise import atomic_file
from edgewise_converters.errors import ConversionError
from edgewise_converters.report import charts
from edgewise_converters.report.findings import Findings


def render(findings: Findings) -> str:
    """The page as HTML text."""
    environment = Environment(
        loader=PackageLoader("edgewise_converters.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(size=_size, db=_decibels, shape=_shape, share=_share)
    template = environment.get_template("page.html.j2")
    style = environment.loader.get_source(environment, "page.css")[0] if environment.loader else ""
    return template.render(
        f=findings, result=findings.result, card=findings.result.card, charts=charts, style=style
    )


def write_page(path: Path, text: str) -> None:
    """Write the page whole or not at all. Raises ConversionError."""
    try:
        atomic_file.write_bytes(path, [text.encode()])
    except OSError as error:
        raise ConversionError(f"--report {path}: cannot be written: {error.strerror or error}") from error


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.2f} MB" if size_bytes >= 1e5 else f"{size_bytes / 1e3:.1f} kB"


def _decibels(level: float | None) -> str:
    if level is None:
        return ""
    return "exact" if level >= 200 else "nothing in common" if level <= -200 else f"{level:.1f} dB"


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))


def _share(value: float) -> str:
    return f"{value:.2%}".replace("%", " %") if value else "none"
