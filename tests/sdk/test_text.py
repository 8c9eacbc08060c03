"""The steps of reading text: regions, rectangles, cut-outs, characters; each against a plain reference."""

import math

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from edgewise.errors import CardError
from edgewise.tasks.text.decoding import alphabet_of, greedy, probabilities_of
from edgewise.tasks.text.line_picture import cut_out, pieces
from edgewise.tasks.text.options import TextOptions
from edgewise.tasks.text.page import reading_order
from edgewise.tasks.text.rectangles import hull_of, smallest_rectangle
from edgewise.tasks.text.regions import Region, find_regions
from edgewise.tasks.text.text_map import quads_of

AREA_SHARE = 1e-9
"""Both compute in float64."""
BRUTE_SHARE = 1e-4
"""Trying 0.01 degree steps misses the best angle by half of one: at most this share of the area."""

BYTE = 1
"""The perspective is solved for in float64, and Pillow's bicubic rounds what is a hair beside a pixel's centre."""


def flooded(mask: np.ndarray) -> set[frozenset[tuple[int, int]]]:
    """The regions cell by cell."""
    left = {(y, x) for y, x in zip(*np.nonzero(mask), strict=True)}
    found = set()
    while left:
        todo, region = [left.pop()], set()
        while todo:
            y, x = todo.pop()
            region.add((y, x))
            for near in ((y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)):
                if near in left:
                    left.remove(near)
                    todo.append(near)
        found.add(frozenset(region))
    return found


@pytest.mark.parametrize("share", [0.05, 0.3, 0.45, 0.6, 1.0])
def test_regions_are_those_of_a_flood_fill(share: float) -> None:
    mask = np.random.default_rng(0).random((60, 47)) < share
    expected = {
        tuple((y, *_ends(region, y)) for y in sorted({y for y, _ in region})) for region in flooded(mask)
    }
    found = [
        tuple(zip(one.rows.tolist(), one.left.tolist(), one.right.tolist(), strict=True))
        for one in find_regions(mask, limit=10_000)
    ]
    assert len(found) == len(expected) and set(found) == expected


def _ends(region: frozenset[tuple[int, int]], y: int) -> tuple[int, int]:
    xs = [x for row, x in region if row == y]
    return min(xs), max(xs)


def test_a_spiral_is_one_region_and_an_empty_mask_has_none() -> None:
    spiral = np.zeros((9, 9), bool)
    for turn in (0, 2):
        spiral[turn, turn : 9 - turn] = spiral[turn : 9 - turn, 8 - turn] = True
        spiral[8 - turn, turn : 9 - turn] = spiral[turn + 2 : 9 - turn, turn] = True
        spiral[turn + 2, turn : turn + 3] = True
    assert len(find_regions(spiral, limit=9)) == len(flooded(spiral)) == 1
    assert find_regions(np.zeros((5, 5), bool), limit=9) == []


def test_the_largest_regions_stay() -> None:
    mask = np.zeros((9, 9), bool)
    mask[0, 0] = mask[2, :5] = mask[4, :3] = mask[6, 8] = True
    assert [one.rows.tolist() for one in find_regions(mask, limit=2)] == [[2], [4]]


@pytest.mark.parametrize("seed", range(8))
def test_the_smallest_rectangle_is_as_small_as_any_angle_gives(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = np.arange(int(rng.integers(1, 30)))
    left = rng.integers(0, 40, len(rows))
    region = Region(rows, left, left + rng.integers(0, 60, len(rows)))
    hull = hull_of(region)
    found = smallest_rectangle(hull)
    points = np.concatenate([np.stack([side, rows], axis=1) for side in (region.left, region.right)])
    angles = np.radians(np.arange(0, 90, 0.01))
    across = points @ np.stack([np.cos(angles), np.sin(angles)])
    down = points @ np.stack([-np.sin(angles), np.cos(angles)])
    brute = (np.ptp(across, axis=0) * np.ptp(down, axis=0)).min()
    area = float(np.prod(found.size_wh))
    assert area <= brute * (1 + AREA_SHARE) + AREA_SHARE and area >= brute * (1 - BRUTE_SHARE) - 1.0
    local = np.abs((points - found.centre) @ found.axes.T)
    assert (local <= found.size_wh / 2 + AREA_SHARE).all()


def test_a_drawn_bar_comes_back_grown_by_the_papers_distance() -> None:
    text_map = np.zeros((40, 80), np.float32)
    text_map[10:21, 20:61] = 0.9
    quads, scores = quads_of(text_map, TextOptions())
    width, height = 40, 10  # from centre to centre of the outer cells
    grow = width * height * 1.5 / (2 * (width + height))
    left, top, right, bottom = 20.5 - grow, 10.5 - grow, 60.5 + grow, 20.5 + grow
    assert quads[0].tolist() == pytest.approx(
        np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    )
    assert scores.tolist() == pytest.approx([0.9])
    assert len(quads_of(text_map, TextOptions(box_threshold=0.95))[0]) == 0
    assert quads_of(np.zeros((40, 80), np.float32), TextOptions())[0].shape == (0, 4, 2)


def test_a_cut_out_is_straight_and_the_tall_ones_lie_down() -> None:
    line = Image.new("RGB", (100, 20), "white")
    line.paste("red", (0, 0, 50, 20))
    whole = np.array([(0, 0), (100, 0), (100, 20), (0, 20)], np.float32)
    assert np.abs(np.asarray(cut_out(line, whole), int) - np.asarray(line)).max() <= BYTE
    standing = line.transpose(Image.Transpose.ROTATE_270)  # read from top to bottom
    quad = np.array([(0, 0), (20, 0), (20, 100), (0, 100)], np.float32)
    assert np.abs(np.asarray(cut_out(standing, quad), int) - np.asarray(line)).max() <= BYTE
    turned = Image.new("RGB", (120, 120), "white")
    turned.paste(line.rotate(-30, expand=True, fillcolor="white"), (5, 5))
    angle, middle = math.radians(30), np.array([5 + 97 / 2, 5 + 68 / 2])
    along = np.array([math.cos(angle), math.sin(angle)]) * 50
    down = np.array([-math.sin(angle), math.cos(angle)]) * 10
    corners = np.stack(
        [middle - along - down, middle + along - down, middle + along + down, middle - along + down]
    )
    straight = np.asarray(cut_out(turned, corners.astype(np.float32)), int)
    assert straight[8:12, 5:45, 1].max() < 60 and straight[8:12, 55:95, 1].min() > 195


def test_a_long_line_is_cut_in_gaps_and_nothing_is_lost() -> None:
    line = Image.new("RGB", (900, 48), "white")
    ImageDraw.Draw(line).text(
        (5, 6), "the quick brown fox jumps over the lazy dog", "black", ImageFont.load_default(32)
    )
    parts = pieces(line, 320)
    assert sum(part.width for part, _ in parts) == line.width and len(parts) >= 3
    for part, _ in parts[:-1]:
        assert part.width <= 320
        assert np.asarray(part.convert("L"))[:, -1].min() > 200  # not through a letter
    assert pieces(line, 900) == [(line, False)]


def test_greedy_ctc_drops_blanks_and_repetitions() -> None:
    rows = np.full((8, 4), 0.1, np.float32)
    for step, (index, score) in enumerate(
        [(0, 0.7), (1, 0.9), (1, 0.8), (0, 0.7), (1, 0.6), (2, 0.7), (3, 0.7), (0, 0.7)]
    ):
        rows[step, index] = score
    text, scores = greedy(rows, ("", "l", "o", " "))
    assert text == "llo " and scores.tolist() == pytest.approx([0.9, 0.6, 0.7, 0.7])


def test_logits_become_probabilities_and_probabilities_stay() -> None:
    logits = np.array([[1, 2, 3], [0, 0, 5]], np.float32)
    shares = probabilities_of(logits)
    assert np.allclose(shares, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))
    assert probabilities_of(shares) is shares


def test_an_alphabet_may_lack_blank_and_space() -> None:
    expected = ("", "a", "b", " ")
    for given in (["a", "b"], ["a", "b", " "], ["blank", "a", "b", " "]):
        assert alphabet_of(given, 4, "m") == expected
    with pytest.raises(CardError, match=r"m: got 7 characters for 4 classes, expected 2 .*give TextReader"):
        alphabet_of(["x"] * 7, 4, "m")


def test_lines_are_read_row_by_row() -> None:
    def quad(left: float, top: float) -> np.ndarray:
        return np.array([(left, top), (left + 30, top), (left + 30, top + 10), (left, top + 10)], np.float32)

    order, rows = reading_order(np.stack([quad(0, 50), quad(40, 3), quad(0, 0), quad(40, 54)]))
    assert (order.tolist(), rows.tolist()) == ([2, 1, 0, 3], [0, 0, 1, 1])
    assert reading_order(np.zeros((0, 4, 2), np.float32))[0].tolist() == []


@pytest.mark.parametrize("degrees", [-40, -12, 0, 5, 30])
def test_the_lines_of_a_slanting_page_are_read_in_their_order(degrees: float) -> None:
    """Long and short lines, two beside each other, and a narrow one that stands."""
    boxes = [(0, 0, 400, 20), (0, 30, 90, 50), (0, 60, 300, 80), (0, 90, 60, 110), (80, 91, 380, 111)]
    boxes.append((0, 120, 12, 160))
    quads = np.array([[(x0, y0), (x1, y0), (x1, y1), (x0, y1)] for x0, y0, x1, y1 in boxes], np.float32)
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]], np.float32)
    mixed = np.array([3, 0, 5, 4, 2, 1])
    order, rows = reading_order((quads @ turn + 500)[mixed])
    assert mixed[order].tolist() == list(range(6))
    assert rows.tolist() == [0, 1, 2, 3, 3, 4]


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(CardError, match="map_threshold: got 30, expected 0 to 1"):
        TextOptions(map_threshold=30)
