"""Drift in the agent: on a model whose card has a baseline, as events, metrics, meta and over restarts."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from device_agent.agent_parts import AgentProcess, Broker, Listener
from device_agent.drift_parts import observations, reference
from PIL import Image

import edgewise
from edgewise.streams import Frame
from edgewise.testing import tiny_card, write_tiny_model
from edgewise_agent.clock import SystemClock
from edgewise_agent.drift import Observation
from edgewise_agent.drift.observation import EMBEDDING_DISTANCE
from edgewise_agent.drift.rows import Rows
from edgewise_agent.outbox.outbox import Outbox
from edgewise_agent.pipelines.drift_watch import DriftWatch
from edgewise_agent.pipelines.model_slot import ModelSlot
from edgewise_agent.pipelines.settings import DriftSettings, PipelineSettings
from edgewise_agent.pipelines.source_words import SourceWord
from edgewise_agent.recorder import Recorder
from edgewise_converters.baseline import BaselineObserver
from edgewise_messages import Event, decode_record

PICTURES = 80


def write_pictures(folder: Path, *, darker: float = 1.0, seed: int = 0) -> Path:
    """Pictures of noise, each about a brightness of its own and a little more of one colour."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    for number in range(PICTURES):
        colour = rng.uniform(90, 170) + rng.normal(0, 12, 3)
        pixels = (colour + rng.normal(0, 25, (32, 32, 3))) * darker
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / f"{number:03}.png")
    return folder


def write_model_with_baseline(path: Path, pictures: Path, *, dtype: str = "float32") -> Path:
    """The tiny model with the baseline that the converter would write for these pictures."""
    form = path.suffix[1:]
    card = tiny_card(form=form, dtype=dtype)
    write_tiny_model(path, dtype=dtype, card=card)
    observer = BaselineObserver(classifies=True, activation="logits", inputs=card.inputs)
    with edgewise.load(path) as model:
        for file in sorted(pictures.iterdir()):
            tensor = model.image_reader().read(file)
            outputs = model.run(tensor)
            real = {spec.name: spec.dequantized(outputs[spec.name]) for spec in model.outputs}
            observer.add({model.inputs[0].name: model.inputs[0].dequantized(tensor)}, real)
    return write_tiny_model(path, dtype=dtype, card=replace(card, drift=observer.result("pictures/")))


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures") / "usual")


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    made = Outbox(tmp_path / "outbox.db", max_bytes=2**22)
    yield made
    made.close()


def events_in(outbox: Outbox) -> list[Event]:
    outbox.commit()
    records = [decode_record(body) for batch in outbox.lease() for body in batch.bodies]
    return [record for record in records if isinstance(record, Event)]


def open_slot(model: Path, *, is_watched: bool = True) -> ModelSlot:
    drift = DriftSettings(enabled=is_watched)
    return ModelSlot(PipelineSettings(model=model, source=(SourceWord("/photos"),), drift=drift))


def observed(slot: ModelSlot, picture: Path) -> Observation | None:
    ((_, observation),) = slot.answers(Frame(picture, 0, 0.0, "test"))
    return observation


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("a.tflite", "float32"), ("b.tflite", "int8"), ("c.tflite", "uint8"), ("d.onnx", "float32")],
)
def test_the_device_measures_what_the_converter_measured(
    name: str, dtype: str, usual: Path, tmp_path: Path
) -> None:
    """Of the same pictures the device finds the same means, in every layout and dtype."""
    slot = open_slot(write_model_with_baseline(tmp_path / name, usual, dtype=dtype))
    found = slot.drift_reference()
    assert not isinstance(found, str)
    seen = [observed(slot, file) for file in sorted(usual.iterdir())]
    slot.close()
    statistics = [one.statistics for one in seen if one is not None]
    assert len(statistics) == found.samples == PICTURES
    for scalar in found.scalars[:6]:
        live = [one[scalar.name] for one in statistics]
        assert np.mean(live) == pytest.approx(scalar.mean, rel=1e-4, abs=1e-4), scalar.name
        assert scalar.histogram.edges[0] == pytest.approx(min(live), rel=1e-4, abs=1e-4)
    assert sum(found.classes.values()) == PICTURES
    assert found.rows is not None
    for place, one in enumerate(seen):
        assert one is not None
        live = Rows.empty(1, 6)
        live.put(0, [one.statistics[scalar.name] for scalar in found.scalars[:6]], *one.likeliest)
        assert live.values[0] == pytest.approx(found.rows.values[place], rel=1e-4, abs=1e-4)
        assert live.classes[0].tolist() == found.rows.classes[place].tolist()
        assert live.probabilities[0] == pytest.approx(found.rows.probabilities[place], abs=2e-3)
    blind = open_slot(tmp_path / name, is_watched=False)
    assert observed(blind, usual / "000.png") is None
    blind.close()


def test_the_distance_of_embeddings_is_measured_as_the_converter_measured_it(
    usual: Path, tmp_path: Path
) -> None:
    """In int8: the device takes the answer as real numbers, as the converter did."""
    card = replace(tiny_card(dtype="int8"), task="image-embedding", golden=None, labels=())
    path = write_tiny_model(tmp_path / "embedder.tflite", dtype="int8", card=card, golden=())
    observer = BaselineObserver(classifies=False, inputs=card.inputs, embeds=True)
    with edgewise.load(path) as model:
        for file in sorted(usual.iterdir()):
            tensor = model.image_reader().read(file)
            real = {spec.name: spec.dequantized(model.run(tensor)[spec.name]) for spec in model.outputs}
            observer.add({model.inputs[0].name: model.inputs[0].dequantized(tensor)}, real)
    baseline = observer.result("pictures/")
    write_tiny_model(path, dtype="int8", card=replace(card, drift=baseline), golden=())
    slot = open_slot(path)
    seen = [observed(slot, file) for file in sorted(usual.iterdir())]
    slot.close()
    distances = [one.statistics[EMBEDDING_DISTANCE] for one in seen if one is not None]
    assert baseline.embedding is not None and len(distances) == PICTURES
    # The card's are each from the direction of the 79 others, the device's from that of all 80: 1 / 79 further.
    assert np.mean(distances) == pytest.approx(
        baseline.embedding.mean_distance * (1 - 1 / PICTURES) ** 2, rel=0.02
    )


def test_a_model_without_a_baseline_is_observed_by_nobody(tiny_model: Path, photos: Path) -> None:
    slot = open_slot(tiny_model)
    assert slot.drift_reference() == "the model's card has no baseline; convert it with --samples"
    assert observed(slot, photos / "a.png") is None
    slot.close()


def test_dark_photos_reach_the_broker_as_drift_and_a_restart_does_not_tell_it_again(
    broker: Broker,
    listener: Listener,
    write_config: Callable[..., Path],
    start_agent: Callable[[Path], AgentProcess],
    usual: Path,
    tmp_path: Path,
) -> None:
    model = write_model_with_baseline(tmp_path / "model.tflite", usual)
    dark = write_pictures(tmp_path / "dark", darker=0.5, seed=1)
    config = write_config(broker.url, pipeline={"model": str(model), "source": str(dark), "events": "none"})
    agent = start_agent(config)
    listener.wait_for(lambda: listener.events("drift.started"), "the drift reached the broker")
    listener.wait_for(
        lambda: any("drift.psi_inputs" in report for report in listener.telemetry()), "the indices are told"
    )
    assert agent.end() == 0
    again = start_agent(config)
    listener.wait_for(lambda: len(listener.boots) == 2, "the second boot reports")
    listener.wait_for(lambda: listener.telemetry()[-1]["model.inferences"] >= 60, "and has looked a while")
    assert again.end() == 0
    (event,) = listener.events("drift.started")
    assert event.severity == "warning" and "brightness" in event.data["moved"]
    assert "pictures are darker than at conversion: mean brightness" in event.message
    assert listener.telemetry()[-1]["drift.moved"] >= 1, "the second boot knows of it"
    assert listener.metas[-1].drift == "on: against 80 samples of pictures/"
    promise = listener.metas[-1].model.promise
    assert promise is not None and 0.3 < promise.confidence <= 1
    assert listener.events("drift.ended") == []


@pytest.mark.parametrize("enabled", [True, False])
def test_meta_says_why_drift_is_off(
    enabled: bool,
    broker: Broker,
    listener: Listener,
    write_config: Callable[..., Path],
    start_agent: Callable[[Path], AgentProcess],
) -> None:
    agent = start_agent(write_config(broker.url, **{"pipelines.main.drift": {"enabled": enabled}}))
    listener.wait_for(lambda: listener.metas and listener.telemetry(), "it told of itself")
    assert agent.end() == 0
    reason = (
        "the model's card has no baseline; convert it with --samples"
        if enabled
        else "pipelines.main.drift.enabled is false"
    )
    assert listener.metas[-1].drift == f"off: {reason}"
    assert not any(name.startswith("drift.") for name in listener.telemetry()[-1])


def make_watch(outbox: Outbox, folder: Path, sha256: str = "a", **settings: float) -> DriftWatch:
    recorder = Recorder(outbox, SystemClock(folder), boot="b")
    made = reference(observations(np.random.default_rng(0), 100))
    now = iter(range(10**6))
    return DriftWatch(
        made,
        recorder,
        DriftSettings(**settings),  # type: ignore[arg-type]  # keywords by name, checked when called
        state_file=folder / "drift.json",
        model_sha256=sha256,
        now_s=lambda: float(next(now)),
    )


def test_start_and_end_are_events_with_what_moved(outbox: Outbox, tmp_path: Path) -> None:
    watch, rng = make_watch(outbox, tmp_path), np.random.default_rng(1)
    for one in [*observations(rng, 300, darker=50), *observations(rng, 500)]:
        watch.see(one)
    started, ended = events_in(outbox)
    assert (started.name, ended.name) == ("drift.started", "drift.ended")
    assert started.data["moved"] == "brightness, mix" and started.data["window"] == 50
    assert started.severity == "warning" and ended.severity == "info"
    assert ended.message.startswith("as at conversion again after ")
    assert watch.metrics()["drift.moved"] == 0


def test_inputs_sooner_than_asked_for_are_left_out(outbox: Outbox, tmp_path: Path) -> None:
    watch, rng = make_watch(outbox, tmp_path, every_s=10.0), np.random.default_rng(1)
    for one in observations(rng, 400, darker=60):  # one second apart by this test's clock
        watch.see(one)
    assert events_in(outbox) == [], "forty inputs were looked at, and fifty are needed"
    for one in observations(rng, 300, darker=60):
        watch.see(one)
    assert [event.name for event in events_in(outbox)] == ["drift.started"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"model_sha256": "a"}', b"\xff", None])
def test_a_state_that_is_damaged_or_of_another_model_is_left(
    content: bytes | None, outbox: Outbox, tmp_path: Path
) -> None:
    before, rng = make_watch(outbox, tmp_path, sha256="a"), np.random.default_rng(1)
    for one in observations(rng, 300, darker=50):
        before.see(one)
    assert json.loads((tmp_path / "drift.json").read_bytes())["model_sha256"] == "a"
    if content is not None:
        (tmp_path / "drift.json").write_bytes(content)
    after = make_watch(outbox, tmp_path, sha256="a" if content is not None else "other")
    assert after.metrics() == {"drift.moved": 0}
    same = make_watch(outbox, tmp_path)
    assert (same.metrics()["drift.moved"] > 0) == (content is None)


@pytest.mark.parametrize(
    ("damaged", "with_this"),
    [(b'"since_start":', b'"since_start":1e999,"x":'), (b'"totals":[', b'"totals":[1e999,')],
)
def test_numbers_that_are_none_in_the_state_are_left(
    damaged: bytes, with_this: bytes, outbox: Outbox, tmp_path: Path
) -> None:
    before, rng = make_watch(outbox, tmp_path), np.random.default_rng(1)
    for one in observations(rng, 300, darker=50):
        before.see(one)
    kept = (tmp_path / "drift.json").read_bytes()
    assert damaged in kept
    (tmp_path / "drift.json").write_bytes(kept.replace(damaged, with_this, 1))
    assert make_watch(outbox, tmp_path).metrics() == {"drift.moved": 0}


def test_a_state_that_cannot_be_written_stops_nothing(outbox: Outbox, tmp_path: Path) -> None:
    watch, rng = make_watch(outbox, tmp_path), np.random.default_rng(1)
    (tmp_path / "drift.json").mkdir()
    for one in observations(rng, 300, darker=50):
        watch.see(one)
    watch.save()
    assert [event.name for event in events_in(outbox)] == ["drift.started"]
