"""Which models run where and how they do: the fleet's devices gathered by the digest of what they run. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from edgewise_fleet.store import DeviceRow
from edgewise_fleet.summary import Condition, DeviceSummary
from edgewise_messages import Meta, ModelInfo, Promise
from edgewise_messages.metrics import PIPELINE_SEPARATOR


@dataclass(frozen=True, kw_only=True)
class ModelUse:
    """One model file (by digest) over all devices that run it; figures are of those online, None without any."""

    name: str
    sha256: str
    precision: str
    task: str
    target: str
    devices: tuple[str, ...]
    """group/device, sorted."""
    online: int
    latency_p50_ms: float | None
    """The median over devices of their medians."""
    latency_p95_ms: float | None
    """The worst device's."""
    confidence: float | None
    """The median over devices of their means."""
    drifting: int
    """Pipelines with drift."""
    promise: Promise | None = None
    """What its card says; p95_ms is each board's own and not here."""
    slower: int = 0
    """Pipelines whose p95 is more than a tenth above what the card promises for their board."""


@dataclass
class _Gathering:
    model: ModelInfo
    devices: set[str] = field(default_factory=set)
    online: set[str] = field(default_factory=set)
    found: dict[str, list[float]] = field(default_factory=dict)
    slower: int = 0


SLOWER = 1.1
"""Times the promise: two measurements of one board differ by some percent."""
FIGURES = ("model.latency_p50_ms", "model.latency_p95_ms", "model.confidence_mean", "drift.moved")


def gather_models(devices: Iterable[tuple[DeviceRow, DeviceSummary]]) -> tuple[ModelUse, ...]:
    """Every model, the most used first."""
    gathered: dict[tuple[str, str], _Gathering] = {}
    for row, summary in devices:
        for pipeline, model in _models(row):
            key = (model.sha256, "" if model.sha256 else model.name)
            one = gathered.setdefault(key, _Gathering(model))
            if one.model.promise is None:
                one.model = model  # an agent of before says less of the same file
            name = f"{row.address.group}/{row.address.device}"
            one.devices.add(name)
            if summary.condition is Condition.ONLINE:
                one.online.add(name)
                figures = _figures(pipeline, row)
                for metric, value in figures.items():
                    one.found.setdefault(metric, []).append(value)
                one.slower += _is_slower(model, figures)
    uses = [_use(one) for one in gathered.values()]
    return tuple(sorted(uses, key=lambda use: (-len(use.devices), use.name, use.sha256)))


def main_pipeline(meta: Meta, metrics: Mapping[str, float]) -> str | None:
    """The pipeline whose metrics have no pipeline in their names: the one that runs ``meta.model``."""
    silent = [
        name for name in meta.models if not any(key.startswith(name + PIPELINE_SEPARATOR) for key in metrics)
    ]
    return next((name for name in silent if meta.models[name] == meta.model), None)


def pipeline_metrics(pipeline: str, *, is_main: bool, metrics: Mapping[str, float]) -> dict[str, float]:
    """A pipeline's metrics by their standard names."""
    if is_main:
        return {name: value for name, value in metrics.items() if PIPELINE_SEPARATOR not in name}
    prefix = pipeline + PIPELINE_SEPARATOR
    return {name.removeprefix(prefix): value for name, value in metrics.items() if name.startswith(prefix)}


def _models(row: DeviceRow) -> list[tuple[str, ModelInfo]]:
    if row.meta is None:
        return []
    if row.meta.models:
        return list(row.meta.models.items())
    return [("", row.meta.model)] if row.meta.model else []


def _figures(pipeline: str, row: DeviceRow) -> dict[str, float]:
    assert row.meta is not None
    is_main = not pipeline or pipeline == main_pipeline(row.meta, row.metrics)
    found = pipeline_metrics(pipeline, is_main=is_main, metrics=row.metrics)
    return {name: found[name] for name in FIGURES if name in found}


def _is_slower(model: ModelInfo, figures: Mapping[str, float]) -> bool:
    promised_ms = model.promise.p95_ms if model.promise else None
    return promised_ms is not None and figures.get("model.latency_p95_ms", 0.0) > promised_ms * SLOWER


def _use(one: _Gathering) -> ModelUse:
    p50, p95, confidence, moved = (one.found.get(name, []) for name in FIGURES)
    return ModelUse(
        name=one.model.name,
        sha256=one.model.sha256,
        precision=one.model.precision,
        task=one.model.task,
        target=one.model.target,
        devices=tuple(sorted(one.devices)),
        online=len(one.online),
        latency_p50_ms=statistics.median(p50) if p50 else None,
        latency_p95_ms=max(p95) if p95 else None,
        confidence=statistics.median(confidence) if confidence else None,
        drifting=sum(value > 0 for value in moved),
        promise=msgspec.structs.replace(one.model.promise, p95_ms=None) if one.model.promise else None,
        slower=one.slower,
    )
