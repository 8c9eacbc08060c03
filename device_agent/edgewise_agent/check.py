"""Finds out before the start whether the agent could do what its settings ask for."""

import os
from dataclasses import dataclass
from pathlib import Path

import edgewise
from edgewise_agent.broker import BrokerConnection, read_password
from edgewise_agent.config import Settings
from edgewise_agent.errors import AgentError, BrokerError, ModelUnfit, Problem, SourceError
from edgewise_agent.model_runner import ModelRunner
from edgewise_agent.sources.images import find_images
from edgewise_agent.vitals.power_choice import check_power


@dataclass(frozen=True)
class Checked:
    """What a check found."""

    problems: tuple[Problem, ...]
    images: int
    model: str


def check(settings: Settings, *, connect: bool = False) -> Checked:
    """Look at every file, folder and, with ``connect``, at the broker. Creates nothing, changes nothing."""
    model, wrong_model = _check_model(settings)
    images, wrong_source = _check_source(settings)
    problems = [
        *_check_state_dir(settings.device.state_dir),
        *wrong_model,
        *wrong_source,
        *_check_files(settings),
        *check_power(settings.power),
    ]
    if connect and not any(problem.where.startswith("broker.") for problem in problems):
        problems += _check_broker(settings)
    return Checked(tuple(problems), images, model)


def _check_state_dir(path: Path) -> list[Problem]:
    existing = path
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir():
        return [Problem("device.state_dir", f"{path}: {existing} is not a folder")]
    if not os.access(existing, os.W_OK | os.X_OK):
        return [Problem("device.state_dir", f"{path}: this user may not write in {existing}")]
    return []


def _check_model(settings: Settings) -> tuple[str, list[Problem]]:
    try:
        runner = ModelRunner(settings.model.path)
    except (edgewise.EdgewiseError, ModelUnfit, OSError) as error:
        return "", [Problem("model.path", str(error))]
    try:
        return runner.info().name, []
    finally:
        runner.close()


def _check_source(settings: Settings) -> tuple[int, list[Problem]]:
    problems, count = [], 0
    for path in settings.source.path:
        try:
            found = len(find_images([path], recursive=settings.source.recursive))
        except SourceError as error:
            problems.append(Problem("source.path", str(error).removeprefix("source.path ")))
            continue
        if not found:
            hint = "" if settings.source.recursive else "; source.recursive = true looks into its folders too"
            problems.append(Problem("source.path", f"{path}: no image in this folder{hint}"))
        count += found
    return count, problems


def _check_files(settings: Settings) -> list[Problem]:
    problems = []
    try:
        read_password(settings.broker)
    except BrokerError as error:
        problems.append(_as_problem("broker.password_file", error))
    ca_file = settings.broker.ca_file
    if ca_file is not None and not os.access(ca_file, os.R_OK):
        problems.append(Problem("broker.ca_file", f"{ca_file}: no such file, or not readable by this user"))
    return problems


def _check_broker(settings: Settings) -> list[Problem]:
    """Connect under another client id, so that a running agent is not thrown out."""
    try:
        connection = BrokerConnection(settings.broker, client_id=f"edgewise-check:{os.getpid()}")
    except BrokerError as error:
        return [_as_problem("broker.ca_file", error)]
    try:
        connection.connect()
    except BrokerError as error:
        return [_as_problem("broker.url", error)]
    finally:
        connection.close()
    return []


def _as_problem(where: str, error: AgentError) -> Problem:
    return Problem(where, str(error).removeprefix(where).removeprefix("broker").strip())
