"""Rollouts from the command line: a model of the repository, a store's file, and lines to print."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from edgewise_fleet.errors import BadRollout
from edgewise_fleet.publishing import PublishedRepository, open_repository
from edgewise_fleet.rollouts import wishes
from edgewise_fleet.rollouts.observation import observe
from edgewise_fleet.rollouts.plan import dry_run, is_meant
from edgewise_fleet.rollouts.state import Gates, Plan, Rollout, Stage
from edgewise_fleet.steering.choose import open_steering
from edgewise_fleet.steering.kept import KeptSteering
from edgewise_fleet.store import open_store
from edgewise_fleet.summary import DEFAULT_SILENT_AFTER_S
from edgewise_messages import DeviceAddress


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What was asked for; ``model`` is a name in the repository or a file."""

    model: str
    repository: Path
    stages: tuple[Stage, ...]
    keys: Path | None = None
    group: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    pipeline: str = ""
    hold_s: float = 600.0
    at_once: int = 50
    older: bool = False
    again: bool = False
    gates: Gates = field(default_factory=Gates)


def start_rollout(store: str, wanted: Wanted, *, dry: bool) -> Iterator[str]:
    """Lines of what was begun, or would be. Raises BadRollout, RepositoryProblem, KeyProblem, StoreUnusable."""
    repository, _ = open_repository(wanted.repository, wanted.keys, create=False)
    if Path(wanted.model).is_file() and dry:
        raise BadRollout(f"{wanted.model}: a dry run publishes nothing; publish it first, and give its name")
    with _opened(store) as steering:
        target, version, sha256 = _model_of(repository, wanted.model)
        plan = Plan(
            target=target,
            sha256=sha256,
            version=version,
            group=wanted.group,
            tags=wanted.tags,
            pipeline=wanted.pipeline,
            stages=wanted.stages,
            hold_s=wanted.hold_s,
            at_once=wanted.at_once,
            older=wanted.older,
            again=wanted.again,
            gates=wanted.gates,
        )
        devices = _devices(store, steering, plan)
        if dry:
            yield f"Would roll out version {version} of {target}, {sha256[:16]}; the lot is drawn anew at the start"
            yield from dry_run(plan, "dry-run", devices)
            return
        rollout = wishes.begin(steering, plan)
        yield f"Began {rollout.id}: {wishes.stages_of(plan)} of {len(devices)} devices"
        yield "A server with --rollout-key carries it out; `edgewise fleet rollout status` tells how far it is"


def show_status(store: str, rollout_id: str | None, *, all_of_them: bool, as_json: bool) -> str:
    """Raises BadRollout, StoreUnusable."""
    with _opened(store) as steering:
        if all_of_them:
            rollouts = steering.rollouts()
            if as_json:
                return msgspec.json.encode(rollouts).decode()
            return "\n".join(map(wishes.headline, rollouts)) or "no rollout yet"
        rollout = wishes.find(steering, rollout_id)
        devices = steering.progress(rollout.id)
        if as_json:
            whole = {"rollout": rollout, "devices": list(devices.values())}
            return msgspec.json.format(msgspec.json.encode(whole), indent=2).decode()
        return "\n".join(wishes.status_lines(rollout, devices))


def show_history(store: str, rollout_id: str | None, *, as_json: bool) -> str:
    """Raises BadRollout, StoreUnusable."""
    with _opened(store) as steering:
        decisions = steering.history(wishes.find(steering, rollout_id).id)
    if as_json:
        return msgspec.json.encode(decisions).decode()
    return "\n".join(wishes.history_lines(decisions))


def apply_wish(store: str, rollout_id: str | None, wish: str, reason: str = "by hand") -> str:
    """``pause``, ``resume`` or ``halt``. Raises BadRollout, StoreUnusable."""
    with _opened(store) as steering:
        found = wishes.find(steering, rollout_id).id
        rollout: Rollout
        if wish == "halt":
            rollout = wishes.halt(steering, found, reason)
        else:
            rollout = {"pause": wishes.pause, "resume": wishes.resume}[wish](steering, found)
    return wishes.headline(rollout)


@contextmanager
def _opened(store: str) -> Iterator[KeptSteering]:
    steering = open_steering(store, create=False)
    try:
        yield steering
    finally:
        steering.close()


def _model_of(repository: PublishedRepository, model: str) -> tuple[str, int, str]:
    if Path(model).is_file():
        published = repository.publish(Path(model))
        return published.target, published.version, published.sha256
    targets = repository.targets()
    if model not in targets:
        known = ", ".join(targets) or "none"
        raise BadRollout(f"{model}: neither a file nor a name in {repository.folder}; known are {known}")
    version, sha256, _ = targets[model]
    return model, version, sha256


def _devices(store: str, steering: KeptSteering, plan: Plan) -> list[tuple[DeviceAddress, bool, str]]:
    entries = {entry.address: entry for entry in steering.entries()}
    records = open_store(store, read_only=True)
    try:
        rows = records.devices()
    finally:
        records.close()
    now_ms = wishes.now_ms()
    meant = []
    for row in rows:
        entry = entries.get(row.address)
        if is_meant(plan, row.address, entry):
            silence_s = (
                entry.expected_silence_s if entry and entry.expected_silence_s else DEFAULT_SILENT_AFTER_S
            )
            seen = observe(row, now_ms=now_ms, silent_after_s=silence_s, pipeline=plan.pipeline)
            meant.append((row.address, seen.is_online, seen.sha256))
    return meant
