"""What a run costs: latency cold and warm, memory, energy; several files side by side.

Each file runs in a process of its own, and rounds of the files alternate, so that noise hits all alike.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

from edgewise.benchmark_result import Benchmark, Cold, FileBenchmark, Stages, latency_of
from edgewise.child import Child
from edgewise.delegate import Delegate
from edgewise.device import Condition, Device, read_condition, read_device
from edgewise.energy import EnergyMeter, find_energy_meter
from edgewise.errors import InvalidInput

WORKER = "edgewise.benchmark_worker"
ROUNDS = 10
_CLOCK_DROP = 0.95
"""Below this share of its highest, a clock is said to have changed."""
_BUSY_SHARE = 0.5
"""Of the cores, busy before the measurement began."""
_RUNS_FOR_P99 = 100
_SHORT_FOR_ENERGY_S = 1.0
"""RAPL counts in steps of about a millisecond, and rounds are a tenth of this."""


@dataclass(frozen=True)
class Plan:
    """How to measure."""

    runs: int = 100
    """Of each file, at most."""
    warmup: int = 5
    """Calls before them that are not counted."""
    seconds: float = 10.0
    """Of measured calls of each file, at most."""
    threads: int | None = None
    """By default the cores, at most 4."""
    backend: str | None = None
    image: Path | None = None
    """Predict this picture instead of running tensors."""
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Of inputs with open sizes."""
    arrays: Path | None = None
    """A .npy or .npz file with the inputs."""
    delegate: Delegate | None = None
    """One that cannot be used is an error: the processor's numbers are not its."""

    def __post_init__(self) -> None:
        if self.runs < 1 or self.warmup < 0 or not 0 < self.seconds < math.inf:
            raise InvalidInput(
                f"benchmark: got {self.runs} runs, {self.warmup} warm-up calls and {self.seconds} seconds, "
                "expected at least 1, at least 0 and more than 0"
            )


Progress = Callable[[str, float], None]
"""Told what is going on and which share of it is done, 0 to 1."""


def benchmark_files(
    paths: Sequence[Path],
    plan: Plan | None = None,
    *,
    meter: EnergyMeter | None = None,
    condition: Callable[[], Condition] = read_condition,
    progress: Progress = lambda text, share: None,
) -> Benchmark:
    """Measure model files, in turn. ``meter`` and ``condition`` are by default this board's.

    Raises ModelFileError, CardError, BackendUnavailable, InvalidInput: one file that fails fails all.
    """
    from edgewise.model_file import read_model
    from edgewise.threads import default_threads

    plan = plan or Plan()
    meter = meter or find_energy_meter()
    sizes = [read_model(path).size_bytes for path in paths]
    threads = default_threads() if plan.threads is None else plan.threads
    device = read_device()
    remarks = list(_busy(device))
    conditions = [condition()]
    with ExitStack() as stack:
        measured = []
        for index, path in enumerate(paths):
            progress(f"opening {path.name}", index / len(paths))
            child = stack.enter_context(Child(WORKER, path))
            measured.append(_Measured(child, path, plan, threads, meter))
        for number in itertools.count(1):
            waiting = [one for one in measured if not one.is_done]
            if not waiting:
                break
            for one in waiting:
                share = sum(each.share for each in measured) / len(measured)
                progress(f"round {number}: {one.path.name}", share)
                one.run_round(settle=len(paths) > 1)
                conditions.append(condition())
        files = tuple(one.result(size) for one, size in zip(measured, sizes, strict=True))
    remarks += describe_changes(conditions)
    shortest_s = min((one.seconds for one in measured), default=0.0)
    if shortest_s < _SHORT_FOR_ENERGY_S and any(file.energy_mj is not None for file in files):
        remarks.append(f"energy was counted over {shortest_s:.2f} s only: more --runs make it surer")
    if any(file.warm.runs < _RUNS_FOR_P99 for file in files):
        fewest = min(file.warm.runs for file in files)
        remarks.append(f"p99 of {fewest} runs is little more than the slowest of them")
    return Benchmark(device, threads, files, meter.source, tuple(remarks))


class _Measured:
    """One file on its way through the rounds."""

    def __init__(self, child: Child, path: Path, plan: Plan, threads: int, meter: EnergyMeter) -> None:
        self.path, self._child, self._plan, self._meter = path, child, plan, meter
        self._opened = child.ask(
            "open",
            path=str(path),
            backend=plan.backend,
            threads=threads,
            image=str(plan.image) if plan.image else None,
            shapes={name: list(sizes) for name, sizes in plan.shapes.items()},
            arrays=str(plan.arrays) if plan.arrays else None,
            delegate=plan.delegate.to_dict() if plan.delegate else None,
        )
        self._samples_ms: list[list[float]] = []
        self.seconds = 0.0
        """Of measured calls."""
        self._energies_mj: list[float | None] = []
        if plan.warmup:
            child.ask("run", runs=plan.warmup, seconds=plan.seconds)

    @property
    def share(self) -> float:
        """How much of it is done, 0 to 1."""
        return min(1.0, max(len(self._samples_ms) / self._plan.runs, self.seconds / self._plan.seconds))

    @property
    def is_done(self) -> bool:
        """Whether a bound is met."""
        return len(self._samples_ms) >= self._plan.runs or self.seconds >= self._plan.seconds

    def run_round(self, *, settle: bool) -> None:
        """A tenth of the runs. With ``settle`` a first call fetches back what another model drove from the caches."""
        if settle:
            self._child.ask("run", runs=1, seconds=0.0)
        left = self._plan.runs - len(self._samples_ms)
        wanted = min(left, math.ceil(self._plan.runs / ROUNDS))
        self._meter.start()
        began = perf_counter()
        answer = self._child.ask("run", runs=wanted, seconds=self._plan.seconds / ROUNDS)
        self.seconds += perf_counter() - began
        self._energies_mj.append(self._meter.stop_mj())
        self._samples_ms += answer["samples_ms"]

    def result(self, size_bytes: int) -> FileBenchmark:
        """What it costs."""
        stages = None
        if self._plan.image:
            stages = Stages(*(latency_of(column) for column in zip(*self._samples_ms, strict=True)))
        known_mj = [energy_mj for energy_mj in self._energies_mj if energy_mj is not None]
        is_known = len(known_mj) == len(self._energies_mj)
        opened = self._opened
        return FileBenchmark(
            path=self.path,
            size_bytes=size_bytes,
            backend=opened["backend"],
            input=opened["input"],
            cold=Cold(opened["start_ms"], opened["load_ms"], opened["first_ms"]),
            warm=latency_of([sum(sample) for sample in self._samples_ms]),
            stages=stages,
            peak_memory_bytes=self._child.ask("memory")["peak_memory_bytes"],
            memory_before_bytes=opened["memory_before_bytes"],
            energy_mj=sum(known_mj) / len(self._samples_ms) if is_known else None,
            placement=self._child.ask("placement")["counts"],
        )


def describe_changes(conditions: Sequence[Condition]) -> tuple[str, ...]:
    """What changed between the first and the last condition that makes numbers worth less, in words."""
    remarks = []
    clocks_mhz = [min(each.frequencies_mhz) for each in conditions if each.frequencies_mhz]
    if clocks_mhz and min(clocks_mhz) < _CLOCK_DROP * max(clocks_mhz):
        remarks.append(
            f"the clock changed during the run: {min(clocks_mhz):.0f} to {max(clocks_mhz):.0f} MHz"
        )
    seen: dict[str, None] = {}
    for each in conditions:
        seen.update(dict.fromkeys(each.throttling.now if each.throttling else ()))
    if seen:
        remarks.append(f"the board was held back during the run: {', '.join(seen)}")
    warmths_c = [each.temperature_c for each in conditions if each.temperature_c is not None]
    if warmths_c and max(warmths_c) - warmths_c[0] >= 10:
        remarks.append(f"it warmed up from {warmths_c[0]:.0f} to {max(warmths_c):.0f} C during the run")
    if not clocks_mhz and not any(each.throttling for each in conditions):
        remarks.append("this machine tells neither its clock nor throttling: changes would go unseen")
    return tuple(remarks)


def _busy(device: Device) -> tuple[str, ...]:
    if device.load_average is None or device.load_average <= _BUSY_SHARE * device.cores:
        return ()
    return (
        f"other work was running: load average {device.load_average:.1f} on {device.cores} cores before it "
        "began; compare ratios, not times",
    )
