"""How the pages look: one style sheet for light and dark, wide and narrow, and the frame around each page."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

STYLE = files("edgewise_fleet.web").joinpath("look.css")
ACCENT = "#0b6e6e"
FAVICON = (
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'>"
    "<rect width='32' height='32' rx='7' fill='#0b6e6e'/>"
    "<path d='M7 22V10M7 16h8M13 22h12M25 10v12M19 13l6-3'"
    " stroke='white' stroke-width='3' fill='none' stroke-linecap='round'/></svg>"
)


@contextmanager
def framed() -> Iterator[None]:
    """The frame that every page stands in."""
    ui.colors(primary=ACCENT)
    ui.add_css(STYLE.read_text(encoding="utf-8"))
    with ui.element("div").classes("frame"):
        yield


def text(tag: str, content: str = "", classes: str = "") -> TextElement:
    """One HTML element with text; what devices say is shown as text and never read as HTML."""
    return TextElement(tag=tag, text=content).classes(classes)
