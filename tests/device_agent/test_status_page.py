"""The status page in a real browser."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fleet.conftest import CHROMIUM_ARGUMENTS
from fleet.real_parts import unused_port

from edgewise_agent.status.server import StatusServer
from edgewise_agent.status.settings import StatusSettings
from edgewise_agent.status.status_board import StatusBoard

pytestmark = pytest.mark.browser

LONG = "a-device-with-a-rather-long-name-at-the-entrance-of-the-hall"
MARKUP = "<b id=injected>bold</b>"
ACCESSIBLE_RATIO = 4.5
"""WCAG 2.1, 1.4.3."""
LUMINANCES = """() => {
  const luminance = text => { const [r, g, b] = text.match(/[0-9.]+/g).map(v => v / 255).map(
    v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = node => { for (let one = node; one; one = one.parentElement) {
    const colour = getComputedStyle(one).backgroundColor;
    if (!/, 0\\)$/.test(colour)) return colour; } return 'rgb(255, 255, 255)'; };
  const worst = [];
  for (const node of document.querySelectorAll('h1,h2,p,dt,dd,th,td,small,span,time,li')) {
    const a = luminance(getComputedStyle(node).color), b = luminance(behind(node));
    worst.push((Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)); }
  return Math.min(...worst); }"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def server() -> Iterator[StatusServer]:
    board = StatusBoard(group="shop", device=LONG, version="0.1.0")
    board.tell(
        "model", name="efficientnet-lite0", task="image-classification", precision="int8", sha256="ab12" * 16
    )
    board.tell("broker", url="mqtts://broker.example:8883", connected=True)
    board.metrics(
        {
            "model.inferences": 86_400, "model.latency_p95_ms": 31.53, "board.temperature_c": 61.8,
            "board.throttled_now": 5, "agent.pss_bytes": 54_600_000, "board.cpu_percent": 4.2,
        }
    )  # fmt: skip
    board.event("agent.started", "")
    board.event(
        "latency.rose", f"p95 doubled because of under-voltage since 12:04 {MARKUP}", severity="warning"
    )
    made = StatusServer(StatusSettings(port=unused_port()), board)
    yield made
    made.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1100])
def test_the_page_is_readable_on_every_screen(
    chromium: Any, server: StatusServer, tmp_path: Path, scheme: str, width: int
) -> None:
    asked: list[str] = []
    complaints: list[str] = []
    context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda one: complaints.append(one.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"http://127.0.0.1:{server.port}/")
    assert page.title() == f"shop/{LONG} · Edgewise agent"
    assert page.get_by_role("heading", level=1).inner_text() == f"shop/{LONG}"
    assert page.get_by_role("status").inner_text() == "● running"
    text = page.locator("main").inner_text()
    for expected in ("86,400", "31.53 ms", "52.07 MiB", "61.8 °C", "95th percentile", "latency.rose", MARKUP):
        assert expected in text
    assert page.locator("#injected").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(LUMINANCES) >= ACCESSIBLE_RATIO
    assert page.evaluate("document.documentElement.lang") == "en"
    assert [url for url in asked if not url.startswith("data:")] == [f"http://127.0.0.1:{server.port}/"]
    assert complaints == []
    folder = Path(os.environ.get("EDGEWISE_SCREENSHOTS", tmp_path))
    page.screenshot(path=folder / f"status-{scheme}-{width}.png", full_page=True)
    context.close()


def test_it_looks_again_by_itself(chromium: Any, server: StatusServer) -> None:
    page = chromium.new_page()
    page.goto(f"http://127.0.0.1:{server.port}/")
    assert page.locator("meta[http-equiv=refresh]").get_attribute("content") == "10"
    page.close()
