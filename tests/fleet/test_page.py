"""The pages in a real browser."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fleet.real_parts import Mosquitto, Server, Servers, wait_until
from fleet.simulated import SimulatedDevice, now_ms, plausible

from edgewise_messages import Channel, Severity

pytestmark = pytest.mark.browser

MakeDevice = Callable[..., SimulatedDevice]
TIMEOUT_MS = 60_000
HISTORY = 120


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """One broker for all pages; each test has devices in a group of its own."""
    started = Mosquitto(tmp_path_factory.mktemp("page") / "broker")
    started.start()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def server(broker: Mosquitto, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    servers = Servers(tmp_path_factory.mktemp("pages"))
    yield servers.start("--broker", broker.url)
    servers.end()


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Open a page; at the end of the test none may have said an error or asked anyone else for anything."""
    complaints: list[str] = []
    contexts: list[Any] = []

    def note_request(request: Any) -> None:
        if not re.match(r"(http|ws)://127\.0\.0\.1:|data:|blob:", request.url):
            complaints.append(f"asked {request.url}")

    def open_one(server: Server, path: str, **options: Any) -> Any:
        contexts.append(chromium.new_context(**options))
        page = contexts[-1].new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.on(
            "console", lambda one: complaints.append(one.text) if one.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", note_request)
        page.goto(server.url + path)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert complaints == []


def row_text(page: Any, key: str) -> str:
    row = page.locator(f'[data-device="{key}"]')
    row.wait_for()
    return re.sub(r"\s+", " ", row.inner_text())


def report_history(camera: SimulatedDevice) -> None:
    now = now_ms()
    records = [
        camera.telemetry(plausible(step), ts_ms=now - (HISTORY - step) * 5000) for step in range(HISTORY)
    ]
    camera.publish(*records)


def test_the_row_of_a_device_appears_and_updates_by_itself(
    mosquitto: Mosquitto, serve: Callable[..., Server], device: MakeDevice, open_page: Callable[..., Any]
) -> None:
    # In this order: a page that outlives its server complains about it.
    page = open_page(serve("--broker", mosquitto.url), "/")
    page.get_by_text("No device has reported yet").wait_for()
    assert f'url = "{mosquitto.url}"' in page.locator(".frame").inner_text()

    camera = device("cam-entrance", port=mosquitto.port, group="shop")
    camera.introduce()
    camera.publish(camera.telemetry({"model.latency_p50_ms": 23.4, "board.throttled_now": 1}))
    shown = row_text(page, "shop/cam-entrance")
    for expected in ("cam-entrance", "shop", "online", "efficientnet-lite0", "int8", "23.4", "under-voltage"):
        assert expected in shown
    assert not page.get_by_text("No device has reported yet").is_visible()

    camera.publish(camera.telemetry({"model.latency_p50_ms": 98.7, "board.throttled_now": 0}))
    wait_until(lambda: "98.7" in row_text(page, "shop/cam-entrance"), "the new latency is shown")
    assert "under-voltage" not in row_text(page, "shop/cam-entrance")
    camera.vanish()
    wait_until(lambda: "offline" in row_text(page, "shop/cam-entrance"), "the loss is shown")


def test_sorting_and_searching_survive_updates(
    open_page: Callable[..., Any], device: MakeDevice, broker: Mosquitto, server: Server
) -> None:
    cameras = [device(name, port=broker.port, group="sorted") for name in ("a-slow", "b-fast", "c-middle")]
    for camera, latency in zip(cameras, (90.0, 10.0, 50.0), strict=True):
        camera.publish(camera.telemetry({"model.latency_p95_ms": latency}))
    page = open_page(server, "/")
    search = page.get_by_label("Find a device")
    search.fill("sorted")

    def order() -> list[str]:
        return [str(name) for name in page.locator(".device-link").all_inner_texts()]

    wait_until(lambda: order() == ["a-slow", "b-fast", "c-middle"], "all are listed by name")
    page.get_by_role("button", name="p95").click()
    wait_until(lambda: order() == ["b-fast", "c-middle", "a-slow"], "they are sorted by latency")
    page.get_by_role("link", name="b-fast").focus()
    cameras[0].publish(cameras[0].telemetry({"model.latency_p95_ms": 30.0}))
    wait_until(lambda: order() == ["b-fast", "a-slow", "c-middle"], "the update is sorted in")
    assert page.evaluate("document.activeElement.innerText") == "b-fast"
    search.fill("middle")
    wait_until(lambda: order() == ["c-middle"], "the search finds one")
    cameras[2].publish(cameras[2].telemetry({"model.latency_p95_ms": 77.0}))
    wait_until(lambda: "77.0" in row_text(page, "sorted/c-middle"), "the update is shown")
    assert order() == ["c-middle"]


def test_the_device_page_shows_facts_plots_predictions_and_events(
    open_page: Callable[..., Any], device: MakeDevice, broker: Mosquitto, server: Server, tmp_path: Path
) -> None:
    camera = device("cam-entrance", port=broker.port, group="shop")
    camera.introduce()
    report_history(camera)
    prediction = camera.event("prediction", data={"input": "cat.jpg", "label": "tabby cat", "score": 0.91})
    markup = "<b id=injected>bold</b>"
    incident = camera.event("broken-input", severity=Severity.WARNING, message=f"{markup} is no image")
    camera.publish(prediction, incident, channel=Channel.EVENT)

    page = open_page(server, "/")
    page.locator('[data-device="shop/cam-entrance"]').click()
    page.wait_for_url("**/device/shop/cam-entrance")
    assert page.title() == "cam-entrance · Edgewise fleet"
    latency = page.get_by_role(
        "img", name=re.compile(r"Latency in ms over the last 15 min; latest: median \d")
    )
    latency.locator("canvas").wait_for()
    assert page.locator("canvas").count() == 5
    text = page.locator(".frame").inner_text()
    for expected in (
        "Raspberry Pi 4 Model B",
        "ab12" * 16,
        "tabby cat · input cat.jpg, score 0.91",
        f"warning broken-input · {markup} is no image",
        "stay on the device",
    ):
        assert expected in text
    assert page.locator("#injected").count() == 0
    # A line was drawn: the canvas holds pixels of the first curve's colour.
    assert (
        latency.locator("canvas").evaluate(
            """canvas => {
            const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            let found = 0;
            for (let i = 0; i < data.length; i += 4)
                if (Math.hypot(data[i] - 0x12, data[i + 1] - 0x90, data[i + 2] - 0x8e) < 20) found++;
            return found;
        }"""
        )
        > 200
    )
    page.screenshot(path=tmp_path / "device.png", full_page=True)

    camera.publish(camera.event("prediction", message="oat milk", data={"score": 0.5}), channel=Channel.EVENT)
    page.get_by_text("oat milk · score 0.5").wait_for()
    page.get_by_role("button", name="24 h").click()
    page.get_by_role("img", name=re.compile("Latency in ms over the last 24 h")).wait_for()


def test_an_unknown_device_is_said_to_be_unknown(open_page: Callable[..., Any], server: Server) -> None:
    for path in ("/device/lab/nobody", "/device/lab/no%20body"):
        page = open_page(server, path)
        page.get_by_text("has not reported").wait_for()
    page.get_by_role("link", name="All devices").click()
    page.get_by_label("The fleet at a glance").wait_for()


def test_a_lost_broker_is_told_on_the_page(
    open_page: Callable[..., Any], broker: Mosquitto, server: Server
) -> None:
    page = open_page(server, "/")
    page.get_by_text("connected", exact=True).wait_for()
    broker.stop()
    page.get_by_role("alert").get_by_text("connection lost").wait_for()
    broker.start()
    page.get_by_role("alert").wait_for(state="hidden")


def test_dark_follows_the_system_and_a_phone_needs_no_sideways_scrolling(
    open_page: Callable[..., Any], device: MakeDevice, broker: Mosquitto, server: Server
) -> None:
    camera = device("camera-with-a-rather-long-name-at-the-entrance", port=broker.port)
    camera.introduce()
    report_history(camera)
    background = "getComputedStyle(document.body).backgroundColor"
    seen = {}
    for scheme in ("light", "dark"):
        page = open_page(server, "/", viewport={"width": 390, "height": 844}, color_scheme=scheme)
        row_text(page, f"lab/{camera.address.device}")
        seen[scheme] = page.evaluate(background)
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        page.goto(f"{page.url}device/lab/{camera.address.device}")
        page.locator("canvas").first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert seen == {"light": "rgb(245, 246, 248)", "dark": "rgb(20, 23, 27)"}
