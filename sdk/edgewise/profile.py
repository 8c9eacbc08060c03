"""Which operator of a model costs how much, as the runtime's own profiler says."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgewise.child import Child
from edgewise.delegate import Delegate
from edgewise.delegate_profile import DelegateProfile, profile_delegate
from edgewise.errors import InvalidInput

WORKER = "edgewise.profile_worker"
_OVERHEAD = 1.25
"""Above this ratio of a profiled call to a plain one, a remark says so."""
_HOW = {
    "litert": (
        "by LiteRT's own profiler, in whole microseconds, run by run. XNNPACK reports its own operators, after it "
        "has fused and split the file's; a name and a shape are shown where the file's operator is certain"
    ),
    "onnxruntime": (
        "by onnxruntime's own profiler, in whole microseconds, run by run, on the graph as onnxruntime has "
        "rewritten it; profiling adds some time to every operator"
    ),
}


@dataclass(frozen=True)
class OperatorTime:
    """One operator."""

    kind: str
    """As the file or, in XNNPACK, the delegate calls it."""
    name: str
    """Its first output's in a .tflite file, its own in an .onnx file; empty where it is not certain."""
    shape: tuple[int, ...] | None
    """Of its first output."""
    where: str
    """XNNPACK or built-in; for .onnx the execution provider."""
    time_ms: float
    """Mean of a run."""
    share: float
    """Of the time of all operators, 0 to 1."""


@dataclass(frozen=True)
class KindTime:
    """All operators of one kind."""

    kind: str
    where: str
    operators: int
    time_ms: float
    share: float


@dataclass(frozen=True)
class Profile:
    """What one model's operators cost."""

    path: Path
    backend: str
    threads: int
    runs: int
    input: str
    """What it was fed, in words."""
    how: str
    """What was measured, and by what."""
    call_ms: float
    """Median of a whole call without the profiler."""
    profiled_call_ms: float
    """Mean of a whole call with it: the operators are parts of this."""
    operators: tuple[OperatorTime, ...]
    """The most expensive first."""
    kinds: tuple[KindTime, ...]
    """The most expensive first."""
    graph_operators: int
    """How many the runtime has."""
    xnnpack_parts: int
    """Into how many parts XNNPACK's share falls; between them tensors change hands."""
    not_in_xnnpack: dict[str, int] | None
    """Kinds of operators that XNNPACK did not take, with their number; None for a runtime without it."""
    remarks: tuple[str, ...]

    @property
    def operators_ms(self) -> float:
        """The time of all operators."""
        return sum(operator.time_ms for operator in self.operators)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "path": str(self.path), "operators_ms": self.operators_ms}


@dataclass(frozen=True)
class ProfilePlan:
    """How to measure."""

    runs: int = 50
    """At most."""
    warmup: int = 5
    seconds: float = 10.0
    """At most, warm-up not counted."""
    threads: int | None = None
    """By default the cores, at most 4."""
    backend: str | None = None
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Of inputs with open sizes."""
    arrays: Path | None = None
    """A .npy or .npz file with the inputs."""
    delegate: Delegate | None = None
    """One that cannot be used is an error."""

    def __post_init__(self) -> None:
        if self.runs < 1 or self.warmup < 0 or not self.seconds > 0:
            raise InvalidInput(
                f"profile: got {self.runs} runs, {self.warmup} warm-up calls and {self.seconds} seconds, "
                "expected at least 1, at least 0 and more than 0"
            )


def profile_model(path: Path, plan: ProfilePlan | None = None) -> Profile | DelegateProfile:
    """Profile a model file, in a process of its own; a .tflite file with a delegate gives a DelegateProfile.

    Raises ModelFileError, InvalidInput, and BackendUnavailable when the runtime has no profiler or it fails.
    """
    from edgewise.model_file import TFLITE, read_model
    from edgewise.threads import default_threads

    plan = plan or ProfilePlan()
    file = read_model(path)
    threads = default_threads() if plan.threads is None else plan.threads
    request: dict[str, Any] = {
        "path": str(path),
        "backend": plan.backend,
        "threads": threads,
        "runs": plan.runs,
        "warmup": plan.warmup,
        "seconds": plan.seconds,
        "shapes": {name: list(sizes) for name, sizes in plan.shapes.items()},
        "arrays": str(plan.arrays) if plan.arrays else None,
    }
    with Child(WORKER, path) as child:
        if plan.delegate and file.format == TFLITE:
            return profile_delegate(path, plan.delegate, child, request)
        found = child.ask("profile", **request, delegate=plan.delegate.to_dict() if plan.delegate else None)
    operators = _operators(found["operators"])
    return Profile(
        path=path,
        backend=found["backend"],
        threads=threads,
        runs=found["runs"],
        input=found["input"],
        how=_HOW[found["backend"]],
        call_ms=found["call_ms"],
        profiled_call_ms=found["profiled_call_ms"],
        operators=operators,
        kinds=totals_by_kind(operators),
        graph_operators=found["graph_operators"],
        xnnpack_parts=found["parts"],
        not_in_xnnpack=found["not_in_xnnpack"],
        remarks=(*found["remarks"], *_overhead(found["call_ms"], found["profiled_call_ms"])),
    )


def _overhead(call_ms: float, profiled_call_ms: float) -> tuple[str, ...]:
    if profiled_call_ms <= _OVERHEAD * call_ms:
        return ()
    factor = profiled_call_ms / call_ms
    return (f"the profiler makes a call {factor:.1f} times as long: short operators are shown too long",)


def _operators(rows: list[dict[str, Any]]) -> tuple[OperatorTime, ...]:
    total_ms = sum(row["time_ms"] for row in rows)
    operators = (
        OperatorTime(
            kind=row["kind"],
            name=row["name"],
            shape=None if row["shape"] is None else tuple(row["shape"]),
            where=row["where"],
            time_ms=row["time_ms"],
            share=row["time_ms"] / total_ms if total_ms else 0.0,
        )
        for row in rows
    )
    return tuple(sorted(operators, key=lambda operator: -operator.time_ms))


def totals_by_kind(operators: tuple[OperatorTime, ...]) -> tuple[KindTime, ...]:
    """Operators added up by kind and place, the most expensive first."""
    groups: dict[tuple[str, str], list[OperatorTime]] = {}
    for operator in operators:
        groups.setdefault((operator.kind, operator.where), []).append(operator)
    kinds = (
        KindTime(
            kind,
            where,
            len(group),
            sum(operator.time_ms for operator in group),
            sum(operator.share for operator in group),
        )
        for (kind, where), group in groups.items()
    )
    return tuple(sorted(kinds, key=lambda kind: -kind.time_ms))
