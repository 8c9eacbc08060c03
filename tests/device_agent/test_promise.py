"""What the card promises, as the fleet is told it."""

from dataclasses import replace
from pathlib import Path

from edgewise.device import read_device
from edgewise.latency_promise import place_of
from edgewise.model_card import TOP1_ACCURACY, TOP1_AGREEMENT, LatencyPromise, Quality
from edgewise.testing import tiny_card, write_tiny_model
from edgewise_agent.pipelines.model_slot import ModelSlot
from edgewise_agent.pipelines.settings import PipelineSettings
from edgewise_agent.pipelines.source_words import SourceWord
from edgewise_messages import Meta, Promise, decode_notice, encode_notice


def promise_of(path: Path) -> Promise | None:
    slot = ModelSlot(PipelineSettings(model=path, source=(SourceWord("/photos"),)))
    try:
        info = slot.info()
    finally:
        slot.close()
    meta = Meta(ts_ms=1, boot="b", model=info)
    assert decode_notice(encode_notice(meta), Meta) == meta, "the fleet can read it"
    return info.promise


def test_a_card_without_figures_promises_nothing(tmp_path: Path) -> None:
    assert promise_of(write_tiny_model(tmp_path / "m.tflite", card=tiny_card())) is None


def test_shares_and_this_boards_latency_are_told(tmp_path: Path) -> None:
    place = place_of(read_device(vcgencmd=None))
    card = replace(
        tiny_card(),
        quality=(
            Quality(TOP1_AGREEMENT, 0.984),
            Quality(TOP1_ACCURACY, 0.91),
            Quality("worst output SNR", 31.0),
        ),
        latency=tuple(
            LatencyPromise(board, 2.0, p95, runs=50, threads=1, backend="litert")
            for board, p95 in (("Raspberry Pi 99", 9.0), (place, 3.5))
        ),
    )
    told = promise_of(write_tiny_model(tmp_path / "m.tflite", card=card))
    assert told == Promise(accuracy=0.91, agreement=0.984, p95_ms=3.5)


def test_a_card_with_impossible_shares_does_not_make_the_device_unreadable(tmp_path: Path) -> None:
    card = replace(tiny_card(), quality=(Quality(TOP1_AGREEMENT, 98.4), Quality(TOP1_ACCURACY, -0.5)))
    assert promise_of(write_tiny_model(tmp_path / "m.tflite", card=card)) is None
