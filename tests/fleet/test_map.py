"""The map of the overview: which places count, and what is drawn. The browser's part is in test_panel_pages.py."""

import re
from xml.etree import ElementTree

import pytest

from edgewise_fleet.errors import BadEntry
from edgewise_fleet.steering.entries import DeviceEntry, changed, positions_of
from edgewise_fleet.steering.positions import Position, position_in
from edgewise_fleet.summary import Condition, DeviceSummary
from edgewise_fleet.web.map_drawing import HEIGHT, MARGIN, WIDTH, dots_of, draw_map, frame_of
from edgewise_messages import DeviceAddress


def device(name: str, condition: Condition = Condition.ONLINE, group: str = "shop") -> DeviceSummary:
    return DeviceSummary(group=group, device=name, condition=condition, since_ms=1, last_seen_ms=1)


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("Berlin, door 3", None),
        ("Berlin, door 3 geo:52.52,13.405", Position(52.52, 13.405)),
        ("GEO:-33.9,18.4,12;u=35 roof", Position(-33.9, 18.4)),
        ("geo:0,-180", Position(0, -180)),
        ("see http://x/geo:1,2", None),
    ],
)
def test_a_location_may_say_where_on_earth(location: str, expected: Position | None) -> None:
    assert position_in(location) == expected


@pytest.mark.parametrize(
    "wrong", ["geo:", "geo:52.5", "geo:91,0", "geo:0,181", "geo:a,b", "geo:1;2", "geo:nan,0"]
)
def test_a_geo_that_is_none_is_refused_with_an_example(wrong: str) -> None:
    with pytest.raises(BadEntry, match=r"shop/cam: location: got 'geo:.*such as geo:52\.52,13\.405"):
        changed(DeviceEntry(group="shop", device="cam"), [f"location=door {wrong}"])
    assert positions_of([DeviceEntry(group="shop", device="cam", location=wrong)]) == {}


def test_places_keep_their_order_and_stay_inside() -> None:
    berlin, munich, hamburg = Position(52.52, 13.405), Position(48.14, 11.58), Position(53.55, 9.99)
    frame = frame_of([berlin, munich, hamburg])
    (bx, by), (mx, my), (hx, hy) = map(frame.place, (berlin, munich, hamburg))
    assert hx < mx < bx and hy < by < my
    for x, y in ((bx, by), (mx, my), (hx, hy)):
        assert MARGIN - 1e-6 <= x <= WIDTH - MARGIN + 1e-6 and MARGIN - 1e-6 <= y <= HEIGHT - MARGIN + 1e-6
    # Mercator near 51 degrees: a degree of latitude is 1 / cos(51) of one of longitude.
    north, east = frame.place(Position(51.5, 12)), frame.place(Position(51, 12.5))
    south_west = frame.place(Position(51, 12))
    assert (south_west[1] - north[1]) / (east[0] - south_west[0]) == pytest.approx(1.6, abs=0.02)


def test_a_fleet_on_both_sides_of_the_date_line_is_not_drawn_around_the_earth() -> None:
    fiji, samoa = Position(-17.8, 178.0), Position(-13.8, -171.8)
    frame = frame_of([fiji, samoa])
    assert frame.place(fiji)[0] < frame.place(samoa)[0]
    assert WIDTH / frame.scale < 1.2, "radians of longitude: a part of the earth"
    assert frame.west == pytest.approx(178.0)


def test_the_poles_and_a_single_place_have_a_map_too() -> None:
    for places in ([Position(90, 0), Position(-90, 180)], [Position(52.52, 13.405)]):
        frame = frame_of(places)
        assert all(0 <= value <= WIDTH for place in places for value in frame.place(place))


def test_no_meridian_is_drawn_twice_however_high_the_map_is() -> None:
    svg = drawn(
        [device("norway"), device("cape")],
        {DeviceAddress("shop", "norway"): Position(70, 20), DeviceAddress("shop", "cape"): Position(-34, 18)},
    )
    names = [text.text for text in svg.iter("text") if text.text and text.text.endswith(("°E", "°W"))]
    assert len(names) == len(set(names)) >= 6, names


def test_near_devices_are_one_dot_in_the_worst_ones_colour() -> None:
    here, there = Position(52.5200, 13.4050), Position(48.14, 11.58)
    seen = [
        (device("a"), here),
        (device("b", Condition.OFFLINE), Position(52.5201, 13.4051)),
        (device("c"), there),
    ]
    dots = dots_of(seen, frame_of([position for _, position in seen]))
    assert sorted((len(dot.devices), dot.condition) for dot in dots) == [
        (1, Condition.ONLINE),
        (2, Condition.OFFLINE),
    ]


def drawn(devices: list[DeviceSummary], positions: dict[DeviceAddress, Position]) -> ElementTree.Element:
    return ElementTree.fromstring(draw_map(devices, positions))


def test_a_dot_leads_to_the_device_or_to_the_list_of_its_group() -> None:
    devices = [device("a"), device("b"), device("c", group="yard"), device("nowhere")]
    places = {
        DeviceAddress("shop", "a"): Position(52.52, 13.405),
        DeviceAddress("shop", "b"): Position(52.52, 13.405),
        DeviceAddress("yard", "c"): Position(48.14, 11.58),
    }
    svg = drawn(devices, places)
    assert svg.get("aria-label") == "Map of 3 devices at 2 places"
    links = {link.get("href"): link.get("aria-label") for link in svg.iter("a")}
    assert links == {
        "/?group=shop": "2 devices: 2 online: shop/a, shop/b",
        "/device/yard/c": "yard/c, online",
    }
    assert draw_map([device("nowhere")], {}) == ""


def test_ten_thousand_devices_are_a_bounded_picture() -> None:
    devices = [device(f"d{number}") for number in range(10_000)]
    places = {
        DeviceAddress("shop", one.device): Position(47 + number % 100 * 0.08, 6 + number // 100 * 0.09)
        for number, one in enumerate(devices)
    }
    text = draw_map(devices, places)
    assert len(text) < 300_000
    assert sum(map(int, re.findall(r'aria-label="([\d]+) devices', text))) + text.count(', online"') == 10_000
