#!/usr/bin/env python3
"""Which box threshold reads most of made-up pages, for PP-OCRv4 and PP-OCRv6 tiny; other pages say how good that is.

Usage: text_threshold.py [--pages 40] [--real] [--json]

A threshold's error is how many characters must be changed to get from what is read to what is written, spaces aside,
as a share of what is written. The middle one of those within 0.2 points of the best is chosen, on the first half of the
pages. --real reads the photo of a page that the
tests have, too, which nothing is chosen on.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
from PIL import Image
from text_pages import Page, made_page

import edgewise
import models_and_data
from edgewise.tasks.text.page import reading_order

THRESHOLDS = tuple(round(0.2 + 0.05 * step, 2) for step in range(13))
AS_GOOD = 0.002
"""Of the characters; about 20 of the 10,173 of 60 pages."""
REAL = """Region-based segmentation
Let us first determine markers of the coins and the
background. These markers are pixels that we can label
unambiguously as either object or background. Here,
the markers are found at the two extreme parts of the
histogram of grey values:"""
"""The lines that the photo shows whole; the last one is cut off below and left out."""


def readers(stack: ExitStack) -> Iterator[tuple[str, edgewise.TextReader]]:
    """Both, with a threshold below all that are tried."""
    tiny, rapid = models_and_data.tinyocr(), models_and_data.SOURCES["rapidocr"].make()
    options = edgewise.TextOptions(box_threshold=min(THRESHOLDS))
    for name, detector, recogniser in (
        ("PP-OCRv4", rapid / "ch_PP-OCRv4_det_infer.onnx", rapid / "ch_PP-OCRv4_rec_infer.onnx"),
        ("PP-OCRv6 tiny", tiny / "PP-OCRv6_det_tiny.onnx", tiny / "PP-OCRv6_rec_tiny.onnx"),
    ):
        models = [stack.enter_context(edgewise.load(path)) for path in (detector, recogniser)]
        yield name, edgewise.TextReader(*models, options=options)


def text_above(page: edgewise.PageText, threshold: float, limit: int | None = None) -> str:
    """What is read with this box threshold, without spaces; of the first lines alone with a limit."""
    kept = np.flatnonzero(page.box_scores >= threshold)
    order, _ = reading_order(page.quads_xy[kept])
    texts = [page.texts[place] for place in kept[order].tolist()]
    return "".join("".join(texts[:limit]).split())


def edits(one: str, other: str) -> int:
    """Levenshtein's distance, a row at a time."""
    letters, places = np.array(list(other)), np.arange(len(other) + 1)
    row = places.copy()
    for number, letter in enumerate(one, start=1):
        best = np.minimum(row[1:] + 1, row[:-1] + (letters != letter))
        row = np.minimum.accumulate(np.concatenate([[number], best]) - places) + places
    return int(row[-1])


def errors(reader: edgewise.TextReader, pages: list[Page]) -> dict[float, float]:
    """The share of wrong characters of each threshold."""
    wrong, written = dict.fromkeys(THRESHOLDS, 0), 0
    for page in pages:
        found, want = reader.read(page.picture), "".join("".join(page.lines).split())
        written += len(want)
        for threshold in THRESHOLDS:
            wrong[threshold] += edits(text_above(found, threshold), want)
    return {threshold: count / written for threshold, count in wrong.items()}


def chosen(found: dict[float, float]) -> float:
    """The middle one of those that are as good as the best; the higher of two."""
    best = min(found.values())
    good = [threshold for threshold, error in found.items() if error <= best + AS_GOOD]
    return good[len(good) // 2]


def real_errors(reader: edgewise.TextReader) -> dict[float, float]:
    """The same of the photo. What is read of its cut-off last line is not held against it."""
    with Image.open(models_and_data.page_photo()) as photo:
        found = reader.read(photo.convert("RGB"))
    want = "".join(REAL.split())
    return {
        threshold: min(edits(text_above(found, threshold, limit), want) for limit in (6, None)) / len(want)
        for threshold in THRESHOLDS
    }


def measured(count: int, *, with_real: bool) -> dict[str, Any]:
    """By network: the errors on both halves, and the threshold that the first one chooses."""
    pages = [made_page(seed) for seed in range(2 * count)]
    results: dict[str, Any] = {}
    with ExitStack() as stack:
        for name, reader in readers(stack):
            print(f"{name} ...", file=sys.stderr)
            chosen_on, other = errors(reader, pages[:count]), errors(reader, pages[count:])
            results[name] = {
                "chosen": chosen(chosen_on),
                "chosen_on": chosen_on,
                "other": other,
            }
            if with_real:
                results[name]["real"] = real_errors(reader)
    return results


def table(results: dict[str, Any]) -> str:
    """As text."""
    lines = []
    for name, found in results.items():
        kinds = [kind for kind in ("chosen_on", "other", "real") if kind in found]
        lines.append(f"{name}: {found['chosen']} is chosen; wrong characters in %")
        lines.append("  threshold " + "".join(f"{kind:>11}" for kind in kinds))
        lines += [
            f"  {threshold:9.2f} " + "".join(f"{100 * found[kind][threshold]:11.2f}" for kind in kinds)
            for threshold in THRESHOLDS
        ]
    return "\n".join(lines)


def main() -> int:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pages", type=int, default=40, help="to choose on; as many again to judge on")
    parser.add_argument("--real", action="store_true", help="read the photo, too")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    results = measured(arguments.pages, with_real=arguments.real)
    print(json.dumps(results, indent=2) if arguments.json else table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
