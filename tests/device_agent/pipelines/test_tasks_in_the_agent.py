"""One agent, several pipelines of several tasks, on real models and inputs, over a real broker."""

import contextlib
import json
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from device_agent.agent_parts import AgentProcess, Broker, Listener
from device_agent.sources.test_pushed import post
from fleet.real_parts import unused_port, wait_until
from PIL import Image
from sdk.detection_files import write_yunet
from sdk.exercise_files import STRIDE, TEST_SUBJECTS, WINDOW, write_exercise_model

from model_sources.exercises import RATE_HZ, read_exercises

ROOT = Path(__file__).parents[3]
KEYWORDS = ROOT / "examples/data/keywords.onnx"


def posted(port: int, body: bytes) -> bool:
    """Whether it was taken; the agent may not listen yet."""
    with contextlib.suppress(ConnectionError):
        return post(port, body) == 202
    return False


def write_noise(path: Path, *, seconds: float, rate: int = 16_000) -> Path:
    samples = (np.random.default_rng(0).normal(0, 300, int(seconds * rate))).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return path


@pytest.fixture
def settings_of_all(
    tmp_path: Path, tiny_model: Path, yunet: Path, astronaut_photo: Path
) -> Callable[[str, int], Path]:
    """Photos for a classifier, a face detector, keywords in sound, and whatever is posted."""
    (tmp_path / "green").mkdir()
    Image.new("RGB", (8, 8), "lime").save(tmp_path / "green/green.png")
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces/astronaut.png").write_bytes(astronaut_photo.read_bytes())
    faces = write_yunet(tmp_path / "faces.onnx", yunet)
    noise = write_noise(tmp_path / "noise.wav", seconds=3)

    def write(url: str, port: int) -> Path:
        config = tmp_path / "agent.toml"
        config.write_text(f"""
[device]
id = "cam-1"
group = "test"
state_dir = "state"
[pipelines.main]
model = {str(tiny_model)!r}
source = "green"
interval_s = 0.1
events = "all"
[pipelines.faces]
model = {str(faces)!r}
source = "faces"
loop = false
events = "all"
[pipelines.ear]
model = {str(KEYWORDS)!r}
source = {str(noise)!r}
loop = false
events = "all"
[pipelines.door]
model = {str(tiny_model)!r}
source = "push:{port}"
events = "all"
[broker]
url = "{url}"
[report]
interval_s = 0.5
""")
        return config

    return write


def test_pictures_faces_sound_and_what_is_posted_are_answered_side_by_side(
    broker: Broker,
    listener: Listener,
    settings_of_all: Callable[[str, int], Path],
    start_agent: Callable[[Path], AgentProcess],
    photos: Path,
) -> None:
    port = unused_port()
    agent = start_agent(settings_of_all(broker.url, port))

    def of(name: str) -> list[dict[str, object]]:
        return [
            event.data
            for event in listener.events("prediction")
            if event.data.get("pipeline", "main") == name
        ]

    listener.wait_for(
        lambda: len(of("main")) > 2 and of("faces") and len(of("ear")) >= 3, "three pipelines answer"
    )
    wait_until(lambda: posted(port, (photos / "a.png").read_bytes()), "the post is taken")
    listener.wait_for(lambda: of("door"), "the posted picture is answered")
    listener.wait_for(
        lambda: any("door/model.latency_p50_ms" in one for one in listener.telemetry()), "and told"
    )
    assert agent.end() == 0
    assert {data["label"] for data in of("main")} == {"green"}
    (face,) = of("faces")
    assert face["detections"] == 1 and str(face["labels"]).endswith(" 1")
    assert {data["label"] for data in of("ear")} <= {"_silence_", "_unknown_"}, "faint noise is no command"
    assert of("door")[0]["label"] == "red"
    assert len(listener.events("source.ended")) == 2
    told = listener.telemetry()[-1]
    assert told["model.inferences"] == len(of("main"))
    assert told["faces/model.inferences"] == 1 and told["ear/model.inferences"] == len(of("ear"))
    models = listener.metas[-1].models
    assert set(models) == {"main", "faces", "ear", "door"}
    assert models["ear"].task == "audio-classification"
    assert "ear off: " in listener.metas[-1].drift


def test_measurements_that_are_posted_are_classified(
    broker: Broker,
    listener: Listener,
    write_config: Callable[..., Path],
    start_agent: Callable[[Path], AgentProcess],
    exercises: Path,
    tmp_path: Path,
) -> None:
    """The six-axis classifier on a recording of a person it was not trained on, in posts of a second each."""
    data = read_exercises(exercises)
    model = write_exercise_model(tmp_path / "exercises.onnx", data)
    place = next(place for place, who in enumerate(data.subjects) if who in TEST_SUBJECTS)
    recording, label = data.recordings[place], data.names[data.labels[place]]
    port = unused_port()
    config = write_config(broker.url, pipeline={"model": str(model), "source": f"push:{port}"})
    agent = start_agent(config)
    step = round(RATE_HZ)
    for begin in range(0, len(recording) - step, step):
        body = json.dumps({"rate_hz": RATE_HZ, "samples": recording[begin : begin + step].tolist()}).encode()
        wait_until(lambda body=body: posted(port, body), "the post is taken")
    windows = ((len(recording) - 1) // step * step - WINDOW) // STRIDE
    listener.wait_for(lambda: len(listener.events("prediction")) >= windows, "every window is answered")
    assert agent.end() == 0
    said = [event.data["label"] for event in listener.events("prediction")]
    assert said.count(label) > len(said) / 2, said
