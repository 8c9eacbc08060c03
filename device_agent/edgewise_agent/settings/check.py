"""Finds out before the start whether the agent could do what its settings ask for."""

import os
from dataclasses import dataclass
from pathlib import Path

import edgewise
from edgewise_agent.commands.signatures import TrustedKeys
from edgewise_agent.connection.connector import try_brokers
from edgewise_agent.connection.tls_files import read_password
from edgewise_agent.errors import (
    AgentError,
    BrokerError,
    InvalidSettings,
    KeyUnusable,
    ModelUnfit,
    Problem,
    RedactionFailed,
)
from edgewise_agent.pipelines.model_slot import ModelSlot
from edgewise_agent.pipelines.settings import PipelineSettings
from edgewise_agent.privacy.faces import FaceBlur
from edgewise_agent.rules.checking import rule_problems
from edgewise_agent.rules.vocabulary import KINDS
from edgewise_agent.settings.config import Settings
from edgewise_agent.sources.choice import LOCAL_HOST, make_source
from edgewise_agent.sources.http_inputs import HttpReceiver
from edgewise_agent.sources.images import PictureFiles, find_images
from edgewise_agent.sources.pushed import Receiver
from edgewise_agent.vitals.power_choice import check_power


@dataclass(frozen=True)
class CheckedPipeline:
    """One pipeline, as far as it could be looked at."""

    name: str
    model: str
    source: str


@dataclass(frozen=True)
class Checked:
    """What a check found."""

    problems: tuple[Problem, ...]
    pipelines: tuple[CheckedPipeline, ...]


def check(settings: Settings, *, connect: bool = False) -> Checked:
    """Look at every file, folder and, with ``connect``, at the broker. Creates nothing, changes nothing."""
    problems = _check_state_dir(settings.device.state_dir)
    pipelines = []
    for name, pipeline in settings.pipelines.items():
        where = f"pipelines.{name}"
        model, wrong_model = _check_model(pipeline, where)
        source, wrong_source = _check_source(pipeline, where)
        problems += [*wrong_model, *wrong_source]
        pipelines.append(CheckedPipeline(name, model, source))
    problems += [*_check_files(settings), *check_power(settings.power)]
    if connect and not any(problem.where.startswith("broker.") for problem in problems):
        problems += _check_broker(settings)
    return Checked(tuple(problems), tuple(pipelines))


def _check_state_dir(path: Path) -> list[Problem]:
    existing = path
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir():
        return [Problem("device.state_dir", f"{path}: {existing} is not a folder")]
    if not os.access(existing, os.W_OK | os.X_OK):
        return [Problem("device.state_dir", f"{path}: this user may not write in {existing}")]
    return []


def _check_model(pipeline: PipelineSettings, where: str) -> tuple[str, list[Problem]]:
    try:
        slot = ModelSlot(pipeline)
    except (edgewise.EdgewiseError, ModelUnfit, OSError) as error:
        return "", [Problem(f"{where}.model", str(error))]
    try:
        kind = KINDS.get(slot.info().task, "")
        labels = tuple(slot.model.labels)
        return slot.info().name, rule_problems(pipeline.rules, where=where, kind=kind, labels=labels)
    finally:
        slot.close()


def _check_source(pipeline: PipelineSettings, where: str) -> tuple[str, list[Problem]]:
    """What it is in words. Cameras, microphones and sensors are not opened: another program may use them now."""
    try:
        source = make_source(pipeline, subscribe=_no_receiver)
    except (edgewise.EdgewiseError, OSError) as error:
        return "", [Problem(f"{where}.source", str(error))]
    if not isinstance(source, PictureFiles):
        return source.name, []
    problems, count = [], 0
    for path in map(Path, pipeline.source):
        try:
            found = len(find_images([path], recursive=pipeline.recursive))
        except edgewise.SourceError as error:
            problems.append(Problem(f"{where}.source", str(error)))
            continue
        if not found:
            hint = "" if pipeline.recursive else f"; {where}.recursive = true looks into its folders too"
            problems.append(Problem(f"{where}.source", f"{path}: no image in this folder{hint}"))
        count += found
    return f"{count} images now, one every {pipeline.interval_s:g} s", problems


def _no_receiver(topic: str) -> Receiver:
    """For a source that is never opened."""
    return HttpReceiver(LOCAL_HOST, 0)


def _check_files(settings: Settings) -> list[Problem]:
    problems = []
    try:
        read_password(settings.broker)
    except BrokerError as error:
        problems.append(_as_problem("broker.password_file", error))
    for name in ("ca_file", "cert_file", "key_file"):
        path = getattr(settings.broker, name)
        if path is not None and not os.access(path, os.R_OK):
            problems.append(Problem(f"broker.{name}", f"{path}: no such file, or not readable by this user"))
    for where in ("root_file", "ca_file"):
        file = getattr(settings.updates, where)
        if file is not None and not os.access(file, os.R_OK):
            text = f"{file}: no such file, or not readable by this user"
            problems.append(Problem(f"updates.{where}", text))
    try:
        TrustedKeys(settings.commands.keys)
    except KeyUnusable as error:
        problems.append(_as_problem("commands.keys", error))
    return [*problems, *_check_privacy(settings), *_check_offload(settings)]


def _check_privacy(settings: Settings) -> list[Problem]:
    """The face detector is opened and tried where it is needed."""
    privacy = settings.privacy
    if not privacy.raw_leaves or privacy.face_model is None or "faces" not in privacy.redact:
        return []
    try:
        FaceBlur(privacy.face_model).close()
    except RedactionFailed as error:
        return [_as_problem("privacy.face_model", error)]
    return []


def _check_offload(settings: Settings) -> list[Problem]:
    if not settings.offload.enabled:
        return []
    from edgewise_agent.offload.servers import Servers  # loads a library that no other agent needs

    try:
        Servers(settings.offload)
    except InvalidSettings as error:
        return list(error.problems)
    return []


def _check_broker(settings: Settings) -> list[Problem]:
    """Connect under another client id, so that a running agent is not thrown out."""
    try:
        problems = try_brokers(settings.broker, client_id=f"edgewise-check:{os.getpid()}")
    except BrokerError as error:
        return [_as_problem(str(error).partition(" ")[0], error)]
    return [_as_problem("broker.url", problem) for problem in problems]


def _as_problem(where: str, error: AgentError) -> Problem:
    return Problem(where, str(error).removeprefix(where).removeprefix("broker").strip())
