"""A benchmark for people: one file as a list, several as a table with ratios to the first."""

from collections.abc import Callable

from edgewise.benchmark_result import Benchmark, FileBenchmark, Latency
from edgewise.device import Device

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MAX_FILES = len(_LETTERS)
_LABEL = 22


def page(benchmark: Benchmark) -> str:
    """All of it."""
    lines = [_machine(benchmark.device, benchmark.threads)]
    if len(benchmark.files) == 1:
        lines += _one(benchmark)
    else:
        lines += _several(benchmark)
    return "\n".join([*lines, *(f"note: {remark}" for remark in benchmark.remarks)])


def _machine(device: Device, threads: int) -> str:
    names = [name for name in (device.board, device.cpu) if name]
    return f"{', '.join(names) or device.machine}, {device.cores} cores; {_counted(threads, 'thread')}"


def _one(benchmark: Benchmark) -> list[str]:
    file = benchmark.files[0]
    cold = file.cold
    rows = [
        ("file", f"{file.path}, {_megabytes(file.size_bytes)} MB, in {file.backend}, fed {file.input}"),
        ("latency", f"{_latency(file.warm)} ms, {_counted(file.warm.runs, 'run')}"),
    ]
    if file.stages:
        stages = (file.stages.preprocess, file.stages.invoke, file.stages.postprocess)
        names = ("  preprocess", "  infer", "  postprocess")
        rows += [(name, f"{_latency(stage)} ms") for name, stage in zip(names, stages, strict=True)]
    rows += [
        ("throughput", f"{file.throughput_per_s:.4g} a second"),
        (
            "cold",
            f"{cold.total_ms:.1f} ms: load {cold.load_ms:.1f}, first call {cold.first_ms:.1f} "
            f"(before them Python's and the runtime's start: {cold.start_ms:.0f})",
        ),
        ("memory", _memory(file)),
        ("energy", _energy(file, benchmark.energy_source)),
        ("operators", _placement(file)),
    ]
    return [f"{label:<14}{text}" for label, text in rows]


def _several(benchmark: Benchmark) -> list[str]:
    files = benchmark.files
    lines = [
        f"{letter}  {file.path}, in {file.backend}, fed {file.input}, {_counted(file.warm.runs, 'run')}"
        for letter, file in zip(_LETTERS, files, strict=False)
    ]
    heads = "".join(f"{letter:>10}{'':8}" for letter in _LETTERS[: len(files)])
    lines += ["", f"{'':<{_LABEL}}{heads}".rstrip()]
    for label, value in _ROWS:
        numbers = [value(file) for file in files]
        if any(number is not None for number in numbers):
            lines.append(f"{label:<{_LABEL}}{_cells(numbers)}".rstrip())
    if any(file.energy_mj is None for file in files):
        lines.append(f"{'energy':<{_LABEL}}not known: {benchmark.energy_source}")
    else:
        lines.append(f"energy is of: {benchmark.energy_source}")
    lines += [
        f"operators of {letter}: {_placement(file)}" for letter, file in zip(_LETTERS, files, strict=False)
    ]
    lines.append("ratios are to A; rounds of the files took turns, each in a process of its own")
    return lines


def _cells(numbers: list[float | None]) -> str:
    first = numbers[0]
    cells = []
    for place, number in enumerate(numbers):
        ratio = f"{number / first:.2f}x" if place and first and number is not None else ""
        shown = "-" if number is None else f"{number:.2f}" if number < 1000 else f"{number:.0f}"
        cells.append(f"{shown:>10}  {ratio:<6}")
    return "".join(cells)


_ROWS: tuple[tuple[str, Callable[[FileBenchmark], float | None]], ...] = (
    ("p50 ms", lambda file: file.warm.p50_ms),
    ("p90 ms", lambda file: file.warm.p90_ms),
    ("p95 ms", lambda file: file.warm.p95_ms),
    ("p99 ms", lambda file: file.warm.p99_ms),
    ("min ms", lambda file: file.warm.min_ms),
    ("mean ms", lambda file: file.warm.mean_ms),
    ("  preprocess p50 ms", lambda file: file.stages.preprocess.p50_ms if file.stages else None),
    ("  infer p50 ms", lambda file: file.stages.invoke.p50_ms if file.stages else None),
    ("  postprocess p50 ms", lambda file: file.stages.postprocess.p50_ms if file.stages else None),
    ("throughput 1/s", lambda file: file.throughput_per_s),
    ("cold: load ms", lambda file: file.cold.load_ms),
    ("cold: first call ms", lambda file: file.cold.first_ms),
    ("peak memory MB", lambda file: _scaled(file.peak_memory_bytes)),
    ("file MB", lambda file: _scaled(file.size_bytes)),
    ("energy mJ a call", lambda file: file.energy_mj),
)


def _latency(latency: Latency) -> str:
    return (
        f"p50 {latency.p50_ms:.2f}  p90 {latency.p90_ms:.2f}  p95 {latency.p95_ms:.2f}  "
        f"p99 {latency.p99_ms:.2f}  min {latency.min_ms:.2f}  mean {latency.mean_ms:.2f}"
    )


def _memory(file: FileBenchmark) -> str:
    if file.peak_memory_bytes is None:
        return "not known: this system has no /proc/self/status"
    before = ""
    if file.memory_before_bytes is not None:
        before = f"; Python and the runtime alone: {_megabytes(file.memory_before_bytes)} MB"
    return f"{_megabytes(file.peak_memory_bytes)} MB at its peak{before}"


def _energy(file: FileBenchmark, source: str) -> str:
    return f"not known: {source}" if file.energy_mj is None else f"{file.energy_mj:.2f} mJ a call ({source})"


def _placement(file: FileBenchmark) -> str:
    if file.placement is None:
        return f"not known: {file.backend} does not tell where they ran"
    return ", ".join(f"{count} in {where}" for where, count in file.placement.items())


def _scaled(size_bytes: int | None) -> float | None:
    return None if size_bytes is None else size_bytes / 1e6


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f}" if size_bytes >= 100_000 else f"{size_bytes / 1e6:.3f}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
