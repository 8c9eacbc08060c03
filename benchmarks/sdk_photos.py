"""A JPEG to the five likeliest classes, ours beside the usual way: times as ratios of one run, and the same answers.

Called by sdk.py. The network is EfficientNet-Lite0 in int8; the photos are those of models_and_data.py, enlarged,
with grain. Times are processor time on one thread, and by the clock on two: both ways then have two for the network,
and we read the file in two.
"""

import io
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

sys.path += [str(Path(__file__).parents[1] / folder) for folder in ("scripts", "tests")]

import exact_filter

import edgewise
import models_and_data
from edgewise.tensors import Array, FloatArray
from edgewise_converters.pipeline import convert
from edgewise_converters.request import Request

SIZES = {"12 MP": (4000, 3000), "1080p": (1920, 1080)}
TIMED_PHOTOS, TIMES_EACH = 10, 5
NEAR_TIE = 0.05
"""Chosen on the calibration photos: there, decoding small changed the lead of the first of two close answers by 0.046
at most."""
GRAIN, JPEG_QUALITY = 6.0, 90
"""Standard deviation in pixel values. An enlarged photo without noise would be a smaller file than a camera's."""
MEAN, STD = 127.0, 128.0


def bare_interpreter(path: Path, *, threads: int = 1) -> Any:
    """LiteRT as it is used without us."""
    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    interpreter.allocate_tensors()
    return interpreter


def ends_of(interpreter: Any) -> tuple[Any, Any]:
    """The details of its inputs and its outputs."""
    return interpreter.get_input_details(), interpreter.get_output_details()


class UsualWay:
    """What one writes by hand: open, RGB, resize, float, normalise, quantize, invoke, dequantize, sort."""

    def __init__(self, path: Path, labels: tuple[str, ...], *, threads: int = 1) -> None:
        self._interpreter = bare_interpreter(path, threads=threads)
        inputs, outputs = ends_of(self._interpreter)
        self._given, self._result, self._labels = inputs[0], outputs[0], labels

    def __call__(self, photo: bytes) -> list[tuple[str, float]]:
        return self.answer(self.prepare(photo))

    def prepare(self, photo: bytes) -> Array:
        """From the file's bytes to the tensor."""
        picture = Image.open(io.BytesIO(photo)).convert("RGB")
        return self.tensor(np.asarray(picture.resize(self.size_wh, Image.Resampling.BILINEAR), np.float32))

    def prepare_exactly(self, photo: bytes) -> Array:
        """The same with one rounding where Pillow rounds twice; slow."""
        return self.tensor(np.rint(exact_resize(decoded(photo), self.size_wh)).astype(np.float32))

    @property
    def size_wh(self) -> tuple[int, int]:
        """Of the network's input."""
        height, width = self._given["shape"][1:3]
        return int(width), int(height)

    def tensor(self, pixels: FloatArray) -> Array:
        """From resized pixels, 0 to 255, to the tensor."""
        tensor = (pixels - MEAN) / STD
        if self._given["dtype"] != np.float32:
            scale, zero_point = self._given["quantization"]
            tensor = np.clip(np.rint(tensor / scale) + zero_point, -128, 127).astype(self._given["dtype"])
        return tensor[np.newaxis]

    def answer(self, tensor: Array) -> list[tuple[str, float]]:
        """The five likeliest classes with their probabilities."""
        self._interpreter.set_tensor(self._given["index"], tensor)
        self._interpreter.invoke()
        scores = self._interpreter.get_tensor(self._result["index"])[0].astype(np.float32)
        if self._result["dtype"] != np.float32:
            scale, zero_point = self._result["quantization"]
            scores = (scores - zero_point) * scale
        exponents = np.exp(scores - scores.max())
        chances = exponents / exponents.sum()
        return [(self._labels[index], float(chances[index])) for index in np.argsort(-chances)[:5]]


def convert_lite0(path: Path, *, ends: str = "") -> Path:
    """EfficientNet-Lite0 in int8; ``ends`` is convert's --io."""
    convert(
        Request(
            source=models_and_data.efficientnet_lite0_onnx(),
            target="rpi4",
            precision="int8",
            samples=models_and_data.grocery_photos("calibration"),
            preprocess=f"mean={MEAN:g};std={STD:g};resize=stretch",
            labels=models_and_data.labels_txt(),
            out=path,
            ends=ends,
        )
    )
    return path


def photos(folder: Path, count: int) -> dict[str, Any]:
    """Times as ratios, and how many first answers are the same."""
    path = convert_lite0(folder / "lite0-int8.tflite")
    files = sorted(models_and_data.grocery_photos("held-out").iterdir())[:count]
    with (
        edgewise.load(path, threads=1) as model,
        edgewise.load(path, threads=1, near_tie=NEAR_TIE) as careful,
    ):
        usual = UsualWay(path, model.labels)
        found = {name: compared(model, careful, usual, files, size_wh) for name, size_wh in SIZES.items()}
    with (
        edgewise.load(path, threads=2) as model,
        edgewise.load(path, threads=2, near_tie=NEAR_TIE) as careful,
    ):
        usual = UsualWay(path, model.labels, threads=2)
        for name, size_wh in SIZES.items():
            found[name]["two_threads_by_the_clock"] = by_the_clock(model, usual, files, size_wh)
            found[name]["near_tie_by_the_clock"] = near_tie_by_the_clock(careful, usual, files, size_wh)
    return found


def near_tie_by_the_clock(
    careful: edgewise.Model, usual: UsualWay, files: list[Path], size_wh: tuple[int, int]
) -> dict[str, Any]:
    """Every photo once, both ways in turns, those that are decoded twice too: ratios, and the same answers."""
    rng = np.random.default_rng(0)
    grain = grain_of(size_wh, rng)
    ours: list[float] = []
    theirs: list[float] = []
    same = 0
    for file in files:
        photo = enlarged(file, size_wh, grain[int(rng.integers(size_wh[1])) :][: size_wh[1]])
        start = time.perf_counter()
        first = careful.predict(io.BytesIO(photo)).top.label
        ours.append(time.perf_counter() - start)
        start = time.perf_counter()
        same += first == usual(photo)[0][0]
        theirs.append(time.perf_counter() - start)
    picks: dict[str, Callable[[list[float]], float]] = {
        "least": min,
        "median": statistics.median,
        "mean": statistics.mean,
    }
    return {
        "photos": len(files),
        "same_first_answer": same,
        "ratio": {name: pick(theirs) / pick(ours) for name, pick in picks.items()},
    }


def by_the_clock(
    model: edgewise.Model, usual: UsualWay, files: list[Path], size_wh: tuple[int, int]
) -> dict[str, Any]:
    """Both ways in turns over some of the photos, as milliseconds and ratios."""
    rng = np.random.default_rng(0)
    grain = grain_of(size_wh, rng)
    ways = ways_of(model, usual)
    times: dict[str, list[float]] = {name: [] for name in ways}
    for file in files[:TIMED_PHOTOS]:
        photo = enlarged(file, size_wh, grain[: size_wh[1]])
        for _ in range(TIMES_EACH):
            for name, way in ways.items():
                start = time.perf_counter()
                way(photo)
                times[name].append((time.perf_counter() - start) * 1000)
    return ratios(times)


def ways_of(model: edgewise.Model, usual: UsualWay) -> dict[str, Callable[[bytes], object]]:
    """What is timed, each from the file's bytes."""
    reader = model.image_reader()
    blank = usual.tensor(np.zeros((*usual.size_wh[::-1], 3), np.float32))
    return {
        "edgewise": lambda photo: model.predict(io.BytesIO(photo)),
        "usual": usual,
        "edgewise, tensor only": lambda photo: reader.read(io.BytesIO(photo)),
        "usual, tensor only": usual.prepare,
        "libjpeg at an eighth": decode_at_an_eighth,
        "the network alone": lambda _: usual.answer(blank),
    }


def compared(
    model: edgewise.Model,
    careful: edgewise.Model,
    usual: UsualWay,
    files: list[Path],
    size_wh: tuple[int, int],
) -> dict[str, Any]:
    """Both ways over photos of one size: every one for its answer, some of them for their times."""
    rng = np.random.default_rng(0)
    grain = grain_of(size_wh, rng)
    ways = ways_of(model, usual)
    first_answers: dict[str, Callable[[bytes], str]] = {
        "usual": lambda photo: usual(photo)[0][0],
        "edgewise": lambda photo: model.predict(io.BytesIO(photo)).top.label,
        "edgewise, near_tie": lambda photo: careful.predict(io.BytesIO(photo)).top.label,
        "usual, exact resize": lambda photo: usual.answer(usual.prepare_exactly(photo))[0][0],
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    once: dict[str, list[float]] = {name: [] for name in first_answers}
    gaps: dict[str, list[float]] = {name: [] for name in first_answers}
    bytes_ = []
    for index, file in enumerate(files):
        photo = enlarged(file, size_wh, grain[int(rng.integers(size_wh[1])) :][: size_wh[1]])
        bytes_.append(len(photo))
        likeliest, second = usual(photo)[:2]
        for name, answer in first_answers.items():
            start = time.thread_time()
            first = answer(photo)
            once[name].append((time.thread_time() - start) * 1000)
            if first != likeliest[0]:
                gaps[name].append(round(likeliest[1] - second[1], 3))
        for _ in range(TIMES_EACH if index < TIMED_PHOTOS else 0):
            for name, way in ways.items():
                start = time.thread_time()
                way(photo)
                times[name].append((time.thread_time() - start) * 1000)
    return {
        "photos": len(files),
        "same_first_answer": {name: len(files) - len(found) for name, found in gaps.items()},
        "gaps_where_not": {name: sorted(found) for name, found in gaps.items()},
        "mean_ms_of_all": {name: statistics.mean(spans) for name, spans in once.items()},
        "mean_bytes": round(statistics.mean(bytes_)),
        **ratios(times),
    }


def ratios(times: Mapping[str, list[float]]) -> dict[str, Any]:
    """Milliseconds, least and median, and how many times faster than the usual way."""
    found: dict[str, Any] = {}
    for what, pick in (("least", min), ("median", statistics.median)):
        picked = {name: pick(spans) for name, spans in times.items()}
        found[f"{what}_ms"] = picked
        found[f"{what}_ratio"] = {
            "all": picked["usual"] / picked["edgewise"],
            "tensor only": picked["usual, tensor only"] / picked["edgewise, tensor only"],
        }
    return found


def grain_of(size_wh: tuple[int, int], rng: np.random.Generator) -> Array:
    """Noise of twice the height, (rows, width, 1), int8: photos take their rows of it from different places."""
    noise: Array = rng.normal(0, GRAIN, (size_wh[1] * 2, size_wh[0], 1)).astype(np.int8)
    return noise


def decode_at_an_eighth(photo: bytes) -> None:
    """Nearly all of it is reading the entropy-coded bits, which no smaller size saves."""
    with Image.open(io.BytesIO(photo)) as picture:
        picture.draft(None, (picture.width // 8, picture.height // 8))
        picture.load()


def exact_resize(pixels: Array, size_wh: tuple[int, int]) -> Array:
    """The antialiased bilinear resize without rounding, as Pillow and torchvision (``antialias=True``) define it."""
    return exact_filter.exact(pixels, (0, 0, pixels.shape[1], pixels.shape[0]), size_wh)


def decoded(photo: bytes) -> Array:
    """The whole picture, uint8 (height, width, 3)."""
    with Image.open(io.BytesIO(photo)) as picture:
        return np.asarray(picture.convert("RGB"))


def enlarged(file: Path, size_wh: tuple[int, int], grain: Array) -> bytes:
    """A photo as a camera of this size would store it."""
    with Image.open(file) as picture:
        large = np.asarray(picture.convert("RGB").resize(size_wh, Image.Resampling.BICUBIC), np.int16)
    noisy = np.clip(large + grain, 0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noisy).save(stream, "JPEG", quality=JPEG_QUALITY)
    return stream.getvalue()
