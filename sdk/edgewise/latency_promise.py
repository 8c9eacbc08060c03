"""What was measured on a board goes into the model file, and the device with such a board is held to it."""

from dataclasses import replace

from edgewise.benchmark_result import Benchmark, FileBenchmark
from edgewise.device import Device, read_device
from edgewise.errors import InvalidInput
from edgewise.model_card import LatencyPromise, ModelCard
from edgewise.model_file import read_model, write_model


def place_of(device: Device) -> str:
    """What a board is called in promises: its name, else the model of its cores."""
    return device.board or device.cpu


def promise_on(card: ModelCard | None, device: Device | None = None) -> LatencyPromise | None:
    """What the card promises for this board; None where nobody measured on one like it."""
    place = place_of(device or read_device(vcgencmd=None))
    promises = card.latency or () if card else ()
    return next((one for one in promises if one.board == place), None)


def write_promises(benchmark: Benchmark) -> tuple[LatencyPromise, ...]:
    """Put what was measured into each file's card, in place of an earlier promise for this board.

    The file is replaced as a whole. Raises InvalidInput for a file without a card or measured without a picture, and
    for a board without a name.
    """
    return tuple(_write(file, benchmark) for file in benchmark.files)


def _write(file: FileBenchmark, benchmark: Benchmark) -> LatencyPromise:
    place = place_of(benchmark.device)
    if not place:
        raise InvalidInput("promise: got a board that does not say what it is; nobody could be held to it")
    if file.stages is None:
        raise InvalidInput(
            f"{file.path}: promise: measured without a picture, expected --image PICTURE: what is promised is the time "
            "from a picture to its answer"
        )
    model = read_model(file.path)
    if model.card is None:
        raise InvalidInput(
            f"{file.path}: promise: it has no card to write into; convert it with edgewise convert"
        )
    promise = LatencyPromise(
        board=place,
        p50_ms=_short(file.warm.p50_ms),
        p95_ms=_short(file.warm.p95_ms),
        runs=file.warm.runs,
        threads=benchmark.threads,
        backend=file.backend,
        measured_on=file.input,
    )
    others = tuple(one for one in model.card.latency or () if one.board != place)
    card = replace(model.card, latency=(*others, promise))
    write_model(file.path, file.path.read_bytes(), card=card, golden=model.golden())
    return promise


def _short(milliseconds: float) -> float:
    return float(f"{milliseconds:.4g}")
