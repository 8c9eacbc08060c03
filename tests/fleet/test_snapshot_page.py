"""Snapshots on a device's page in a real browser: asked for, shown small and large, deleted."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fleet.real_parts import Server, Servers, wait_until
from fleet.simulated import SimulatedDevice, now_ms, plausible
from fleet.snapshot_parts import AskedDevice, noise_picture, picture, sends, sound
from fleet.test_panel_pages import PHONE, Open, visit

from edgewise_fleet.keys import make_key
from edgewise_messages import Channel, Meta, Outcome, Response, encode_notice

__all__ = ["visit"]
pytestmark = [pytest.mark.browser, pytest.mark.long]
NAME = "cam-shots"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shots")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    make_key(folder / "owner")
    servers = Servers(folder)
    yield servers.start("--rollout-key", str(folder / "owner"))
    servers.end()


@pytest.fixture
def camera(server: Server, device: Callable[..., SimulatedDevice]) -> Iterator[AskedDevice]:
    made = device(NAME, port=server.mqtt_port)
    made.introduce()
    may = Meta(ts_ms=now_ms(), boot=made.boot, raw_data_leaves_device=True)
    made.publish_raw(Channel.META, encode_notice(may), retain=True)
    made.publish(made.telemetry(plausible(3)))
    told = made.event(
        "rule.door", message="a person at the door", data={"snapshot": "s-1", "label": "person"}
    )
    made.publish(told, channel=Channel.EVENT)
    wait_until(lambda: "rule.door" in server.get(f"/api/v1/devices/lab/{NAME}/events"), "the device is known")
    asked = AskedDevice(made, port=server.mqtt_port, answer=sends(picture()))
    yield asked
    asked.stop()


def test_a_snapshot_is_asked_for_shown_opened_and_deleted(
    server: Server, camera: AskedDevice, visit: Open, tmp_path: Path
) -> None:
    page = visit(f"{server.url}/device/lab/{NAME}", color_scheme="light")
    ask = page.get_by_role("button", name="Ask for it")
    page.get_by_text("None was asked for yet").wait_for()
    page.get_by_label("Which snapshot to ask for").click()
    page.get_by_role("option", name=re.compile("rule.door person")).click()
    ask.click()
    thumbnail = page.get_by_role("button", name=re.compile("Open large: .* · door · person"))
    thumbnail.wait_for()
    assert dict(camera.commands[-1].arguments) == {"id": "s-1"}

    camera.answer = sends(sound(), "audio/wav", name="s-2", rule="noise")
    ask.click()
    page.locator('audio[aria-label^="Sound"]').wait_for()
    camera.answer = lambda command: sends(noise_picture(400), "image/png")(command)[:1]
    ask.click()
    page.get_by_text("on its way").wait_for()
    wait_until(lambda: len(camera.commands) >= 3, "it was asked for the third")
    camera.send(
        Response(
            id=camera.commands[-1].id, outcome=Outcome.FAILED, ts_ms=now_ms(), message="the disk is gone"
        )
    )
    page.get_by_text("the device says failed: the disk is gone").wait_for()
    page.get_by_text("did not come").wait_for()
    camera.answer = sends(b"<html><script>alert(1)</script>", "text/html")
    ask.click()
    page.get_by_text("'text/html' is not shown here").wait_for()
    page.get_by_role("heading", name="Snapshots").scroll_into_view_if_needed()
    page.screenshot(path=tmp_path / "snapshots-light.png")

    thumbnail.click()
    large = page.get_by_role("img", name=re.compile("Snapshot, large"))
    large.wait_for()
    wait_until(lambda: large.evaluate("one => one.naturalWidth") == 640, "the picture is drawn")
    page.get_by_role("link", name="Download").wait_for()
    wait_until(lambda: large.evaluate("one => one.getBoundingClientRect().width >= 600"), "it is large")
    page.screenshot(path=tmp_path / "snapshot-large.png")
    page.keyboard.press("Escape")

    for name, options in (("dark", {"color_scheme": "dark"}), ("phone", PHONE)):
        other: Any = visit(f"{server.url}/device/lab/{NAME}", **options)
        other.get_by_role("button", name=re.compile("Open large")).wait_for()
        other.get_by_role("heading", name="Snapshots").scroll_into_view_if_needed()
        wait_until(
            lambda other=other: other.locator(".shots img").first.evaluate("one => one.naturalWidth > 0"),
            "the thumbnail is drawn",
        )
        assert other.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        other.screenshot(path=tmp_path / f"snapshots-{name}.png")

    thumbnail.click()
    page.get_by_role("dialog").get_by_role("button", name=re.compile("^Delete")).click()
    wait_until(lambda: page.locator(".shots img").count() == 0, "it is gone")
    log = server.get("/api/v1/audit")
    assert log.count("snapshot asked") == 4 and log.count("snapshot deleted") == 1


def test_without_a_key_the_button_says_why(
    serve: Callable[..., Server], device: Callable[..., SimulatedDevice], visit: Open
) -> None:
    server = serve()
    device("cam-1", port=server.mqtt_port).introduce()
    wait_until(lambda: "cam-1" in server.get("/api/v1/devices"), "the device is known")
    page = visit(f"{server.url}/device/lab/cam-1")
    page.get_by_text("start it with --rollout-key KEY").wait_for()
    assert page.get_by_role("button", name="Ask for it").is_disabled()
