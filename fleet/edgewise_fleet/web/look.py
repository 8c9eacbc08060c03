"""How the pages look: one style sheet for light and dark, wide and narrow, and the frame around each page."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from edgewise_fleet.access import Caller, Role

STYLE = files("edgewise_fleet.web").joinpath("look.css")
ACCENT = "#0b6e6e"
FAVICON = (
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'>"
    "<rect width='32' height='32' rx='7' fill='#0b6e6e'/>"
    "<path d='M7 22V10M7 16h8M13 22h12M25 10v12M19 13l6-3'"
    " stroke='white' stroke-width='3' fill='none' stroke-linecap='round'/></svg>"
)
PAGES = (("/", "Devices"), ("/models", "Models"), ("/rollouts", "Rollouts"), ("/alerts", "Alerts"))


@contextmanager
def framed(caller: Caller, here: str = "") -> Iterator[None]:
    """The frame that every page stands in: the way to the others, and who is logged in."""
    ui.colors(primary=ACCENT)
    ui.add_css(STYLE.read_text(encoding="utf-8"))
    with ui.element("header").classes("bar"), ui.element("div").classes("bar-inside"):
        text("span", "Edgewise fleet", "brand")
        with ui.element("nav").props('aria-label="Pages"'):
            shown = (*PAGES, ("/audit", "Audit")) if caller.role.may(Role.ADMIN) else PAGES
            for path, name in shown:
                link = ui.link(name, path)
                if path == here:
                    link.props('aria-current="page"')
        if caller.session:
            with ui.element("form").props('method="post" action="/logout"').classes("who"):
                text("span", f"{caller.name} ({caller.role.value})", "quiet")
                text("button", "Log out").props('type="submit"')
    with ui.element("main").classes("frame"):
        yield


def text(tag: str, content: str = "", classes: str = "") -> TextElement:
    """One HTML element with text; what devices say is shown as text and never read as HTML."""
    return TextElement(tag=tag, text=content).classes(classes)


def table(caption: str, heads: tuple[str, ...]) -> ui.element:
    """An empty table with its head; returns the body, to be filled with rows."""
    with ui.element("div").classes("scrolls"), ui.element("table").classes("plain") as made:
        made.props["aria-label"] = caption
        with ui.element("thead"), ui.element("tr"):
            for head in heads:
                text("th", head).props('scope="col"')
        return ui.element("tbody")
