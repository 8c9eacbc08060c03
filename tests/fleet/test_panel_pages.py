"""Models, alerts, rollouts, login and audit in a real browser; several pipelines on the device page."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fleet.real_parts import Server, Servers, wait_until
from fleet.simulated import SimulatedDevice, now_ms, plausible
from fleet.test_access import PASSWORD, fleet

from edgewise_messages import Channel, Meta, ModelInfo, Promise, encode_notice

pytestmark = pytest.mark.browser

Open = Callable[..., Any]
MakeDevice = Callable[..., SimulatedDevice]
TIMEOUT_MS = 60_000
PHONE = {"viewport": {"width": 390, "height": 844}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    servers = Servers(tmp_path_factory.mktemp("panel"))
    yield servers.start()
    servers.end()


@pytest.fixture
def visit(chromium: Any) -> Iterator[Open]:
    """Open an address; at the end no page may have said an error or asked anyone but this machine."""
    complaints: list[str] = []
    contexts: list[Any] = []

    def open_one(url: str, **options: Any) -> Any:
        contexts.append(chromium.new_context(**options))
        page = contexts[-1].new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.on("console", lambda one: complaints.append(one.text) if one.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda one: (
                None
                if re.match(r"(http|ws)://127\.0\.0\.1:|data:|blob:", one.url)
                else complaints.append(one.url)
            ),
        )
        page.goto(url)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert complaints == []


def two_models(camera: SimulatedDevice) -> None:
    promise = Promise(agreement=0.984, confidence=0.81, p95_ms=20.0)
    door = ModelInfo(name="door-net", sha256="d0" * 32, precision="int8", target="rpi4", promise=promise)
    till = ModelInfo(name="till-net", sha256="71" * 32, precision="fp16", target="rpi4")
    meta = Meta(ts_ms=now_ms(), boot=camera.boot, model=door, models={"door": door, "till": till})
    camera.introduce()
    camera.publish_raw(Channel.META, encode_notice(meta), retain=True)
    now = now_ms()
    records = []
    for step in range(60):
        throttled = 4 if 30 <= step < 40 else 0
        metrics = {
            **plausible(step, slow=2 if throttled else 1, throttled=throttled),
            "drift.moved": step // 50,
        }
        metrics |= {
            "till/model.latency_p50_ms": 44.0 + step % 5,
            "till/model.latency_p95_ms": 66.0 + step % 7,
            "till/model.throughput_per_s": 8.5,
            "energy.inference_estimated_mj": 90.0 + step,
        }
        records.append(camera.telemetry(metrics, ts_ms=now - (60 - step) * 5000))
    camera.publish(*records)


def test_several_models_of_a_device_stand_side_by_side_and_each_has_its_line_on_the_models_page(
    server: Server, device: MakeDevice, visit: Open, tmp_path: Path
) -> None:
    camera = device("cam-two", port=server.mqtt_port, group="shop")
    two_models(camera)
    wait_until(lambda: "till" in server.get("/api/v1/devices/shop/cam-two"), "the device is known")
    page = visit(f"{server.url}/device/shop/cam-two")
    rows = page.get_by_role("table", name="Models of this device").locator("tbody tr")
    wait_until(lambda: rows.count() == 2, "both models are listed")
    assert "till-net" in rows.nth(1).inner_text()
    assert "8.50" in rows.nth(1).inner_text()
    timeline = page.get_by_role("img", name=re.compile("till: median 4"))
    timeline.locator("canvas").wait_for()
    page.screenshot(path=tmp_path / "device.png", full_page=True)

    page = visit(f"{server.url}/models")
    page.get_by_role("link", name="till-net").wait_for()
    line = page.locator("tr", has_text="till-net").inner_text().split()
    assert line[:4] == ["till-net", "717171717171", "fp16", "rpi4"]
    assert line[4:6] == ["1", "1"]
    promised = page.locator("tr", has_text="door-net").inner_text()
    assert "98.4 % as the original" in promised and "(0.81)" in promised
    assert page.locator("tr", has_text="door-net").locator(".hot").count() == 2, "slower than promised; drift"
    page.screenshot(path=tmp_path / "models.png", full_page=True)
    page.get_by_role("link", name="till-net").click()
    page.locator('[data-device="shop/cam-two"]').wait_for()


def test_devices_whose_location_says_where_are_on_a_map(
    server: Server, device: MakeDevice, visit: Open, tmp_path: Path
) -> None:
    places = {
        "north": "53.55,9.99",
        "south": "48.14,11.58",
        "south-2": "48.1405,11.5801",
        "east": "52.52,13.405",
    }
    for number, (name, place) in enumerate(places.items()):
        camera = device(name, port=server.mqtt_port, group="map")
        camera.introduce()
        camera.publish(camera.telemetry(plausible(number)))
        entry = ("registry", "device", f"map/{name}", "--set", f"location=Roof, {name} geo:{place}")
        assert fleet(server.log.parent, *entry).returncode == 0
    page = visit(f"{server.url}/")
    shown = page.get_by_role("group", name="Map of 4 devices at 3 places")
    shown.wait_for()
    shown.get_by_role("link", name=re.compile("2 devices: 2 online")).wait_for()
    page.screenshot(path=tmp_path / "map.png")
    phone = visit(f"{server.url}/", **PHONE, color_scheme="dark")
    phone.get_by_role("group", name="Map of 4 devices").wait_for()
    assert phone.evaluate("document.documentElement.scrollWidth") == 390
    phone.screenshot(path=tmp_path / "map-phone.png")
    east = shown.get_by_role("link", name="map/east, online")
    east.focus()
    east.press("Enter")
    page.wait_for_url("**/device/map/east")


def test_an_alert_is_listed_with_cause_and_remedy_and_can_be_silenced(
    server: Server, device: MakeDevice, visit: Open, tmp_path: Path
) -> None:
    camera = device("cam-slow", port=server.mqtt_port, group="shop")
    camera.introduce()
    said = "p95 rose from 20 to 44 ms because the processor is hot"
    data = {"remedy": "give it air"}
    camera.publish(camera.event("latency.rose", message=said, data=data), channel=Channel.EVENT)
    page = visit(f"{server.url}/alerts")
    page.get_by_text(said).wait_for()
    page.get_by_text("What to do: give it air").wait_for()
    page.get_by_label("Reason").fill("we know")
    page.get_by_role("button", name="Silence").click()
    page.get_by_text(re.compile("everything · until .* · we know · by local")).wait_for()
    page.screenshot(path=tmp_path / "alerts.png", full_page=True)
    page.get_by_role("button", name=re.compile("End the silence")).click()
    page.get_by_text("none: every alert is notified").wait_for()
    camera.publish(camera.event("latency.normal", message="again"), channel=Channel.EVENT)
    page.get_by_text("none: no rule holds for any device").wait_for()
    page = visit(f"{server.url}/audit")
    page.get_by_role("cell", name="silence made").first.wait_for()


def test_filters_keys_and_the_address_work_together(
    server: Server, device: MakeDevice, visit: Open, tmp_path: Path
) -> None:
    for number in range(3):
        camera = device(f"key-{number}", port=server.mqtt_port, group="keys", model=f"net-{number % 2}")
        camera.introduce()
        camera.publish(camera.telemetry(plausible(number)))
    page = visit(f"{server.url}/?group=keys")
    names = page.locator(".device-link")
    wait_until(lambda: names.all_inner_texts() == ["key-0", "key-1", "key-2"], "the address filters")
    page.get_by_label("Model", exact=True).select_option("net-0")
    wait_until(lambda: names.all_inner_texts() == ["key-0", "key-2"], "the model filters")
    assert page.url.endswith("?model=net-0&group=keys")
    page.locator("body").press("/")
    assert page.evaluate(
        "document.activeElement.ariaLabel || document.activeElement.getAttribute('aria-label')"
    ) == ("Find a device")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.innerText") == "key-2"
    page.keyboard.press("Enter")
    page.wait_for_url("**/device/keys/key-2")
    for path in ("/", "/models", "/alerts", "/rollouts", "/audit", "/device/keys/key-0"):
        phone = visit(server.url + path, **PHONE, color_scheme="dark")
        phone.locator("h1").wait_for()
        assert phone.evaluate("document.documentElement.scrollWidth") == 390, path
    phone = visit(f"{server.url}/", **PHONE, color_scheme="dark")
    phone.locator(".fleet-row").first.wait_for()
    phone.screenshot(path=tmp_path / "phone.png")


def test_every_control_has_a_name_for_those_who_do_not_see_it(server: Server, visit: Open) -> None:
    for path in ("/", "/alerts", "/models", "/rollouts", "/login"):
        page = visit(server.url + path)
        page.locator("h1").wait_for()
        nameless = page.evaluate(
            """() => [...document.querySelectorAll('button, a, input:not([type=hidden]), select')].filter((one) =>
                one.checkVisibility() && !(one.innerText?.trim() || one.ariaLabel || one.getAttribute('aria-label')
                || one.labels?.length || one.closest('label') || one.title)).map((one) => one.outerHTML)"""
        )
        assert nameless == [], path


def test_login_in_the_browser_and_out_again(
    serve: Callable[..., Server], visit: Open, tmp_path: Path
) -> None:
    assert fleet(tmp_path, "users", "add", "ann", "--role", "viewer", said=f"{PASSWORD}\n").returncode == 0
    page = visit(f"{serve().url}/models")
    page.get_by_label("User").fill("ann")
    page.get_by_label("Password").fill(PASSWORD)
    page.screenshot(path=tmp_path / "login.png")
    page.keyboard.press("Enter")
    page.wait_for_url("**/models")
    page.get_by_text("ann (viewer)").wait_for()
    assert page.get_by_role("link", name="Audit").count() == 0
    page.get_by_role("link", name="Alerts").click()
    page.get_by_text("none: no rule holds").wait_for()
    assert page.get_by_role("button", name="Silence").count() == 0
    page.get_by_role("button", name="Log out").click()
    page.get_by_label("Password").wait_for()


def test_rollouts_are_shown_and_steered_through_the_protocol(visit: Open, tmp_path: Path) -> None:
    script = Path(__file__).with_name("rollouts_site.py")
    with subprocess.Popen([sys.executable, script, tmp_path], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            page = visit(f"{process.stdout.readline().strip()}/rollouts")
            page.get_by_text("stage 2 of 4 (25 %)").wait_for()
            page.get_by_role("button", name="Pause the rollout of door-v4").click()
            page.get_by_text("pause: done by local").wait_for()
            page.get_by_role("button", name="Resume the rollout of door-v4").wait_for()
            page.get_by_role("button", name="Resume the rollout of till-v2").click()
            page.get_by_text("not done: till-v2 is halted for its health").wait_for()
            page.screenshot(path=tmp_path / "rollouts.png")
            page.close()
        finally:
            process.terminate()
