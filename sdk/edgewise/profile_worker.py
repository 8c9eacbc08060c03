"""The process in which one model is profiled: python -m edgewise.profile_worker."""

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, TypeVar

from edgewise.child import serve
from edgewise.delegate import Delegate

_Run = TypeVar("_Run")
_NESTED = (
    "operators inside loops and branches are added up over all their rounds; what is left to the loop or the branch "
    "itself is its own"
)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The one request of `edgewise.profile`: run the model and say what each operator took."""
    from edgewise.loading import load
    from edgewise.model_file import TFLITE
    from edgewise.sample_inputs import sample_inputs

    path = Path(request["path"])
    delegate = Delegate(**request["delegate"]) if request["delegate"] else None
    with load(
        path,
        backend=request["backend"],
        threads=request["threads"],
        delegate=delegate,
        fallback=False,
        probe=False,  # this process is the child
    ) as model:
        shapes = {name: tuple(sizes) for name, sizes in request["shapes"].items()}
        inputs = sample_inputs(model, shapes, Path(request["arrays"]) if request["arrays"] else None)
        ordered = {spec.name: inputs.arrays[spec.name] for spec in model.inputs}
        backend, form = model.backend_name, model.file.format
        if delegate and form == TFLITE:
            with load(path, backend=backend, threads=request["threads"]) as plain:
                return {"input": inputs.origin, **_delegated(model, plain, ordered, request)}
        call_ms = median(_repeat(lambda: _timed_ms(model, ordered), request))
    found = (
        _tflite(path, backend, ordered, request)
        if form == TFLITE
        else _onnx(path, backend, ordered, request, delegate)
    )
    return {"backend": backend, "input": inputs.origin, "call_ms": call_ms, **found}


def _delegated(model: Any, plain: Any, inputs: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """A call with the delegate and one without it, in turns."""
    spans = _repeat(lambda: (_timed_ms(model, inputs), _timed_ms(plain, inputs)), request)
    with_ms, without_ms = (median(column) for column in zip(*spans, strict=True))
    placement = model.placement(inputs)
    return {
        "backend": placement.backend,
        "runs": len(spans),
        "call_ms": with_ms,
        "processor_call_ms": without_ms,
        "operators": [asdict(one) for one in placement.operators],
    }


def _timed_ms(model: Any, inputs: dict[str, Any]) -> float:
    began = perf_counter()
    model.run(inputs)
    return (perf_counter() - began) * 1000


def _repeat(call: Callable[[], _Run], request: dict[str, Any]) -> list[_Run]:
    for _ in range(request["warmup"]):
        call()
    ends = perf_counter() + request["seconds"]
    results = [call()]
    while len(results) < request["runs"] and perf_counter() < ends:
        results.append(call())
    return results


def _tflite(path: Path, backend: str, inputs: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    from edgewise.errors import BackendUnavailable

    if backend != "litert":
        raise BackendUnavailable(
            f"{path}: {backend} has no profiler; install ai-edge-litert (64-bit systems), or measure the whole "
            "with edgewise bench"
        )
    from edgewise.backends.litert_nodes import read_nodes
    from edgewise.backends.litert_profiler import LitertProfiler
    from edgewise.operator_match import Occurrences, match_operators

    try:
        runs = _repeat(LitertProfiler(path, inputs, threads=request["threads"]).run, request)
        nodes = read_nodes(path, threads=request["threads"])
    except BackendUnavailable as error:
        raise BackendUnavailable(f"{path}: {error}; edgewise bench measures the whole without it") from error
    totals_us: dict[tuple[object, int], float] = {}
    events = {}
    for run in runs:
        occurrences = Occurrences()
        for event in run.events:
            if event.subgraph == 0:
                likeness = (event.name, event.index, event.is_delegate)
                key = occurrences.key(likeness)
                totals_us[key] = totals_us.get(key, 0.0) + event.elapsed_us
                events[key] = event
    delegated = [key for key in totals_us if events[key].is_delegate]
    partners = match_operators([events[key].name for key in delegated], nodes)
    node_of = {delegated[place]: node for place, node in partners.items()}
    by_index = {node.index: node for node in nodes}
    rows = []
    for key, total_us in totals_us.items():
        event = events[key]
        node = node_of.get(key) if event.is_delegate else by_index.get(event.index)
        rows.append(
            {
                "kind": event.name,
                "name": node.output if node else "",
                "shape": list(node.shape) if node else None,
                "where": "XNNPACK" if event.is_delegate else "built-in",
                "time_ms": total_us / 1000 / len(runs),
            }
        )
    left = Counter(node.kind for node in nodes if node.part is None)
    ran = Counter(events[key].name for key in totals_us if not events[key].is_delegate)
    return {
        "runs": len(runs),
        "profiled_call_ms": sum(run.call_ms for run in runs) / len(runs),
        "operators": rows,
        "graph_operators": len(nodes),
        "parts": len({node.part for node in nodes if node.part is not None}),
        "not_in_xnnpack": dict(left.most_common()),
        "remarks": _remarks_of(runs, is_alike=left == ran, is_measurable=any(totals_us.values())),
    }


def _remarks_of(runs: list[Any], *, is_alike: bool, is_measurable: bool) -> list[str]:
    remarks = []
    if not is_measurable:
        remarks.append(
            "every operator took less than a microsecond, the profiler's unit: the shares say nothing"
        )
    if any(event.subgraph for run in runs for event in run.events):
        remarks.append("operators inside loops and branches are counted with the operator around them")
    if not is_alike:
        remarks.append(
            "the interpreter and the profiled run shared the work differently: which operators ran in XNNPACK is "
            "the interpreter's view, the times are those of the profiled run"
        )
    return remarks


def _onnx(
    path: Path, backend: str, inputs: dict[str, Any], request: dict[str, Any], delegate: Delegate | None
) -> dict[str, Any]:
    from edgewise.backends.onnxruntime import open_model
    from edgewise.backends.onnxruntime_trace import CONTROL_FLOW, read_trace
    from edgewise.backends.options import RuntimeOptions
    from edgewise.errors import BackendUnavailable

    with tempfile.TemporaryDirectory() as folder:
        trace = str(Path(folder) / "trace")
        session = open_model(path, threads=request["threads"], options=RuntimeOptions(delegate), trace=trace)
        arrays = list(inputs.values())
        calls = len(_repeat(lambda: session.run(arrays), request))
        traced = session.end_trace()
        session.close()
        runs = read_trace(traced)[-calls:]
    if not runs or not any(run.events for run in runs):
        raise BackendUnavailable(f"{path}: {backend} profiled no operator; its trace holds none")
    totals_us: dict[tuple[str, str, str, int], float] = {}
    events = {}
    for run in runs:
        for event in run.events:
            key = (event.name, event.kind, event.provider, event.index)
            totals_us[key] = totals_us.get(key, 0.0) + event.own_us
            events[key] = event
    rows = [
        {
            "kind": events[key].kind,
            "name": events[key].name,
            "shape": list(events[key].shape),
            "where": events[key].provider,
            "time_ms": total_us / 1000 / len(runs),
        }
        for key, total_us in totals_us.items()
    ]
    is_nested = any(event.kind in CONTROL_FLOW for event in events.values())
    return {
        "runs": len(runs),
        "profiled_call_ms": sum(run.call_ms for run in runs) / len(runs),
        "operators": rows,
        "graph_operators": len(rows),
        "parts": 0,
        "not_in_xnnpack": None,
        "remarks": [_NESTED] if is_nested else [],
    }


if __name__ == "__main__":
    serve(answer)
