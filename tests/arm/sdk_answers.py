"""What `sdk_worker` asks of the SDK: the answers of every task, of streams, states, probe and swap, as JSON."""

import asyncio
import io
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import edgewise
from edgewise.streams import (
    FolderSource,
    SensorSource,
    SerialLines,
    SimulatedSensor,
    SimulatedSource,
    WavSource,
)

Load = Callable[..., edgewise.Model]
RATE_HZ, CHUNK = 16_000, 512
TIMES = ("timings", "latency_ms")


def without_times(value: Any) -> Any:
    """An answer's dictionary less what no two runs share."""
    if isinstance(value, dict):
        return {key: without_times(inner) for key, inner in value.items() if key not in TIMES}
    return [without_times(inner) for inner in value] if isinstance(value, list | tuple) else value


def answers(load: Load, folder: Path) -> dict[str, Callable[[], Any]]:
    """By name, what is to be done."""
    photo = folder / "photo.png"

    def predicted(name: str, given: Any, **options: Any) -> Any:
        with load(folder / f"{name}.tflite", **options) as model:
            found = model.predict(given)
            assert found.lines()
            return without_times(found.to_dict())

    def drawn(name: str, given: Path) -> Any:
        with load(folder / f"{name}.tflite") as model:
            found = model.predict(given)
            assert found.draw(given).size == Image.open(given).size
            return without_times(found.to_dict())

    return {
        "image-classification": lambda: predicted("classes", photo),
        "image-classification int8": lambda: predicted("classes-int8", photo),
        "int8 network": lambda: int8_network(load, folder),
        "object-detection": lambda: drawn("boxes", photo),
        "object-detection nms": lambda: drawn("here", folder / "photos" / "lime.jpg"),
        "image-segmentation": lambda: drawn("areas", photo),
        "image-segmentation bilinear": lambda: predicted("areas", photo, mask_resample="bilinear"),
        "image-embedding": lambda: embedding(load, folder),
        "pose-estimation": lambda: drawn("points", photo),
        "audio-classification": lambda: predicted("tones", folder / "sound.wav"),
        "keyword spotting": lambda: keywords(load, folder),
        "voice activity": lambda: voice(load, folder),
        "time-series-classification": lambda: predicted("more", np.load(folder / "series.npy")),
        "series classifier": lambda: series_events(load, folder),
        "anomaly-detection": lambda: predicted("halves", np.load(folder / "series.npy")[:20]),
        "tensors": lambda: predicted("classes", np.full((1, 8, 8, 3), 0.5, np.float32), task="tensors"),
        "reading text": lambda: text_page(load, folder),
        "state": lambda: state(load, folder),
        "probe": lambda: predicted("classes", photo, probe=True),
        "probe of a text": lambda: refused(load, folder / "tokenizer.json"),
        "swap": lambda: swap(load, folder),
        "stream of a folder": lambda: folder_stream(load, folder),
        "stream of a sound": lambda: stream_of(load, folder, "tones", WavSource(folder / "sound.wav")),
        "stream of a sensor": lambda: stream_of(load, folder, "more", sensor(folder)),
        "stream of serial lines": lambda: stream_of(load, folder, "more", serial_lines()),
        "stream of asyncio": lambda: asyncio.run(async_stream(load, folder)),
    }


def int8_network(load: Load, folder: Path) -> Any:
    """The raw bytes, which tell more than dequantized scores."""
    with load(folder / "convolutions-int8.tflite", threads=1) as model:
        spec = model.inputs[0]
        assert spec.quantization is not None
        images = np.load(folder / "convolutions.npy").transpose(0, 2, 3, 1)
        if spec.shape[1] == images.shape[3]:
            images = images.transpose(0, 3, 1, 2)
        given = spec.quantization.quantize(images, spec.dtype)
        return [next(iter(model.run(image[np.newaxis]).values())).tolist() for image in given]


def embedding(load: Load, folder: Path) -> Any:
    gallery, file = edgewise.Gallery(), folder / f"gallery-{id(load)}.npz"
    with load(folder / "direction.tflite") as model:
        for photo in sorted((folder / "photos").glob("*.jpg")):
            gallery.add(photo.stem, model.predict(photo))
        gallery.save(file)
        found = model.predict(folder / "photo.png")
        best = edgewise.Gallery.load(file).search(found, top=1)[0]
    file.unlink()
    return {"nearest": best.name, **without_times(found.to_dict())}


def keywords(load: Load, folder: Path) -> Any:
    with load(folder / "tones.tflite") as model:
        classifier = edgewise.AudioClassifier(model)
        spotter = edgewise.KeywordSpotter(classifier, step_s=0.05, refractory_s=0.3)
        with wave.open(str(folder / "sound.wav")) as file:
            sound = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return [word.to_dict() for chunk in np.array_split(sound, 20) for word in spotter.push(chunk)]


def voice(load: Load, folder: Path) -> Any:
    second = np.sin(np.arange(RATE_HZ) * 0.1)
    sound = np.concatenate([0 * second, 0.5 * second, 0 * second])
    with load(folder / "growing.tflite") as model:
        activity = edgewise.VoiceActivity(model)
        found = [segment for chunk in np.array_split(sound, 30) for segment in activity.push(chunk)]
        found += activity.flush()
        return [[segment.start_s, segment.end_s] for segment in found]


def series_events(load: Load, folder: Path) -> Any:
    rows = np.concatenate([np.tile([2.0, 0.0], (40, 1)), np.tile([0.0, 2.0], (40, 1))])
    with load(folder / "more.tflite") as model:
        classifier = edgewise.SeriesClassifier(model, smooth=2, threshold=0.8)
        found = [answer for part in np.array_split(rows, 9) for answer in classifier.push(part)]
        return [[one.label, one.score, one.is_event, one.start_s, one.end_s] for one in found]


def text_page(load: Load, folder: Path) -> Any:
    bars = folder / "bars.png"
    with load(folder / "ink.tflite") as detector, load(folder / "letters.tflite") as recogniser:
        options = edgewise.TextOptions(unclip_ratio=0.0)
        page = edgewise.TextReader(detector, recogniser, options=options).read(bars)
        assert page.draw(bars).size == (128, 64)
        line = edgewise.LineReader(recogniser).read_line(Image.open(bars).crop((32, 24, 80, 40)))
        return {"page": without_times(page.to_dict()), "line": [line.text, line.score]}


def state(load: Load, folder: Path) -> Any:
    with load(folder / "growing.tflite") as model:
        kept = model.new_state()
        sound = np.full((1, CHUNK + 64), 0.25, np.float32)
        return [
            float(next(iter(model.run({"sound": sound}, state=kept).values()))[0, 0]) for _ in range(3)
        ] + [next(iter(kept.arrays.values())).tolist()]


def refused(load: Load, file: Path) -> str:
    try:
        load(file, probe=True).close()
    except edgewise.ModelFileError as error:
        return type(error).__name__
    return "nothing"


def swap(load: Load, folder: Path) -> Any:
    with load(folder / "classes.tflite") as model:
        model.swap(folder / "classes.tflite")
        model.swap(folder / "classes.tflite", probe=False)
        try:
            model.swap(folder / "missing.tflite")
        except edgewise.ModelFileError:
            return without_times(model.predict(folder / "photo.png").to_dict())


def folder_stream(load: Load, folder: Path) -> Any:
    with load(folder / "classes.tflite") as model, model.stream(FolderSource(folder / "photos")) as results:
        found = [without_times(result.answer.to_dict()) for result in results]
        return [found, results.skipped]


def stream_of(load: Load, folder: Path, name: str, source: Any) -> Any:
    with load(folder / f"{name}.tflite") as model:
        return [without_times(result.answer.to_dict()) for result in model.stream(source)]


def sensor(folder: Path) -> SimulatedSensor:
    return SimulatedSensor(np.load(folder / "series.npy"), rate_hz=50, channels=("x", "y"))


def serial_lines() -> SensorSource:
    text = b"boot\r\n" + b"".join(b"%d,%d\r\n" % (index % 7, index % 3) for index in range(20))
    lines = SerialLines(io.BytesIO(text), channels=2, is_endless=False)
    return SensorSource(lines, rate_hz=50, channels=("x", "y"), is_paced=False)


async def async_stream(load: Load, folder: Path) -> Any:
    pictures = SimulatedSource([folder / "photo.png"] * 2)
    with load(folder / "classes.tflite") as model:
        return [without_times(result.answer.to_dict()) async for result in model.astream(pictures)]
