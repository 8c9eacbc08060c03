"""The real agent on a Pi 2, a Pi 4 and a Pi 5: TLS, events, a rule, commands, an update, an end in order."""

import functools
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from arm.agent_site import PATIENCE_S, BoardAgent, Said, Site, ended, waiting_records
from arm.board_parts import RUNTIME_OF_BOARD
from PIL import Image

from arm_agent import agent_requirements
from arm_userland import BOARDS as ALL_BOARDS
from arm_userland import Userland
from edgewise_messages import Response

pytestmark = [pytest.mark.arm, pytest.mark.long, pytest.mark.timeout(900)]

BOARDS = ("pi2", "pi4", "pi5")
PATIENCE = pytest.mark.timeout(1800)
"""The first test of a board waits for everything that is done on it."""
MODELS = {"pi2": "Raspberry Pi 2 Model B", "pi4": "Raspberry Pi 4 Model B", "pi5": "Raspberry Pi 5 Model B"}
SHOWN_TEMPERATURE_C = 48.312
"""What the emulated board's thermal zone says."""


@dataclass
class Found:
    """What one board's agent did."""

    site: Site
    state: Path
    said: dict[str, Said] = field(default_factory=dict)
    answers: dict[str, Response] = field(default_factory=dict)
    snapshot: Path | None = None
    waiting: dict[str, int] = field(default_factory=dict)


@pytest.fixture(scope="module")
def on(
    board: Callable[[str], Userland], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Found]]:
    """What the agent does on a board, done once; a board that fails is not tried again."""
    sites: list[Site] = []
    tried: dict[str, Found | None] = {}

    def done(name: str) -> Found:
        if name not in tried:
            tried[name] = None
            sites.append(Site(tmp_path_factory.mktemp(name)))
            tried[name] = whole_life(board(name), sites[-1])
        found = tried[name]
        assert found is not None, f"{name} failed before"
        return found

    yield done
    for site in sites:
        site.close()


def whole_life(board: Userland, site: Site) -> Found:
    """Checked, started over TLS, asked, updated, stopped by command; then over mutual TLS, ended by SIGTERM."""
    agent, found = BoardAgent(board, site), Found(site, site.folder / "state-tls")
    tls = site.write_settings("tls", port=site.tls_port)
    found.said["check"] = Said.of(agent.says("agent", "check", "--config", tls, "--connect", "--json"))
    site.publish("newer")
    running = agent.begin("agent", "run", "--config", tls)
    try:
        _while_it_runs(agent, running, found, tls)
        found.answers["stop"] = site.ask("stop", key=site.key)
    finally:
        found.said["run"] = ended(running, None if "stop" in found.answers else signal.SIGKILL)
    found.waiting["tls"] = waiting_records(found.state)
    _mutual(agent, found)
    return found


def _while_it_runs(agent: BoardAgent, running: "subprocess.Popen[str]", found: Found, config: Path) -> None:
    site, listener = found.site, found.site.listener
    until = functools.partial(wait_until, running)
    until(lambda: listener.statuses and listener.metas and listener.telemetry(), "it reports")
    until(lambda: listener.events("prediction") and listener.events("rule.green"), "its rule was told")
    said_first = {
        "doctor": agent.begin("doctor", "--json"),
        "status": agent.begin("agent", "status", "--config", config, "--json"),
        "send-test": agent.begin("agent", "send-test", "--config", config),
    }
    found.answers["stranger's stop"] = site.ask("stop", key=site.strangers_key)
    found.answers["report-now"] = site.ask("report-now")
    found.said |= {name: ended(process) for name, process in said_first.items()}
    until(lambda: listener.events("update.confirmed"), "the new model is confirmed")
    (rule,) = listener.events("rule.green")
    found.snapshot = next(iter((found.state / "snapshots").glob(f"{rule.data['snapshot']}*.png")), None)


def _mutual(agent: BoardAgent, found: Found) -> None:
    site, listener = found.site, found.site.listener
    pair, port = site.device_pair, site.mutual_port
    files = {"cert_file": str(pair.certificate), "key_file": str(pair.key)}
    mutual = site.write_settings("mutual", port=port, target="", **files)
    bare = site.write_settings("bare", port=port)
    foreign = site.write_settings("foreign", port=site.tls_port, ca_file=str(site.stranger.pair.certificate))
    asked = {
        name: agent.begin("agent", "check", "--connect", "--json", "--config", config)
        for name, config in {"no certificate": bare, "foreign authority": foreign}.items()
    }
    asked["status of nobody"] = agent.begin("agent", "status", "--config", bare)
    found.said |= {name: ended(process) for name, process in asked.items()}
    already = len(listener.events("agent.started"))
    running = agent.begin("agent", "run", "--config", mutual)
    try:
        wait_until(
            running, lambda: len(listener.events("agent.started")) > already, "it starts over mutual TLS"
        )
    finally:
        found.said["mutual run"] = ended(running, signal.SIGTERM)
    found.waiting["mutual"] = waiting_records(site.folder / "state-mutual")


def wait_until(running: "subprocess.Popen[str]", holds: Callable[[], Any], what: str) -> None:
    """Fails with what the agent said when it ended, or when nothing comes of it."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not holds():
        if running.poll() is not None or time.monotonic() > deadline_s:
            said = ended(running, signal.SIGTERM if running.poll() is None else None)
            pytest.fail(f"waited in vain until {what}: {said.code}, {said.err}")
        time.sleep(0.1)


@PATIENCE
@pytest.mark.parametrize("name", BOARDS)
def test_check_finds_all_well_over_tls(name: str, on: Callable[[str], Found]) -> None:
    check = on(name).said["check"]
    assert (check.code, check.err) == (0, "")
    assert (check.values["ok"], check.values["problems"]) == (True, [])


@pytest.mark.parametrize("name", BOARDS)
def test_it_says_who_it_is_and_reports(name: str, on: Callable[[str], Found]) -> None:
    listener = on(name).site.listener
    meta = listener.metas[0]
    assert meta.board.startswith(MODELS[name])
    assert meta.model is not None and (meta.model.name, meta.model.backend) == (
        "tiny",
        RUNTIME_OF_BOARD[name],
    )
    assert max(one["model.inferences"] for one in listener.telemetry()) > 0
    assert {one["model.errors"] for one in listener.telemetry()} == {0}
    assert {one["board.temperature_c"] for one in listener.telemetry()} == {SHOWN_TEMPERATURE_C}
    assert {event.data["label"] for event in listener.events("prediction")} == {"red", "green", "blue"}


@pytest.mark.parametrize("name", BOARDS)
def test_a_rule_is_told_once_and_its_picture_kept(name: str, on: Callable[[str], Found]) -> None:
    found = on(name)
    told = [event.message[:8] for event in found.site.listener.events("rule.green")]
    assert told and set(told) == {"green at"}
    assert found.snapshot is not None
    with Image.open(found.snapshot) as picture:
        assert picture.convert("RGB").getpixel((5, 5)) == (0, 255, 0)


@pytest.mark.parametrize("name", BOARDS)
def test_only_signed_commands_change_anything(name: str, on: Callable[[str], Found]) -> None:
    answers = on(name).answers
    assert (answers["stranger's stop"].outcome, answers["report-now"].outcome) == ("rejected", "done")
    assert "key" in answers["stranger's stop"].message
    assert answers["stop"].outcome == "done"


@pytest.mark.parametrize("name", BOARDS)
def test_an_update_is_taken_tried_and_confirmed(name: str, on: Callable[[str], Found]) -> None:
    listener = on(name).site.listener
    stages = ("update.fetched", "update.switched", "update.confirmed")
    assert [len(listener.events(stage)) for stage in stages] == [1, 1, 1]
    refused = ("update.rejected", "update.refused", "update.rolled-back", "update.failed")
    assert [event.message for stage in refused for event in listener.events(stage)] == []
    assert any(meta.model is not None and meta.model.name == "newer" for meta in listener.metas)


@pytest.mark.parametrize("name", BOARDS)
def test_it_ends_in_order_and_leaves_an_empty_outbox(name: str, on: Callable[[str], Found]) -> None:
    found = on(name)
    for run, state in (("run", "tls"), ("mutual run", "mutual")):
        said = found.said[run]
        assert (said.code, said.out) == (0, ""), said.err
        assert "Traceback" not in said.err and "stopped; 0 records wait for the next start" in said.err
        assert found.waiting[state] == 0
    assert [status.state for status in found.site.listener.statuses] == ["online", "stopped"] * 2


@pytest.mark.parametrize("name", BOARDS)
def test_mutual_tls_needs_the_certificate_and_the_right_authority(
    name: str, on: Callable[[str], Found]
) -> None:
    said = on(name).said
    for case in ("no certificate", "foreign authority"):
        assert (said[case].code, said[case].values["ok"]) == (1, False)
        assert [problem["where"] for problem in said[case].values["problems"]] == ["broker.url"]
    assert "certificate" in said["no certificate"].values["problems"][0]["message"]
    assert "certificate" in said["foreign authority"].values["problems"][0]["message"]


@pytest.mark.parametrize("name", BOARDS)
def test_status_send_test_and_doctor_tell_what_is_so(name: str, on: Callable[[str], Found]) -> None:
    found = on(name)
    said = found.said
    status = said["status"].values
    assert (said["status"].code, status["healthy"], status["facts"]["broker"]["connected"]) == (0, True, True)
    assert status["facts"]["model"]["backend"] == RUNTIME_OF_BOARD[name]
    nobody = said["status of nobody"]
    assert (nobody.code, nobody.out) == (1, "") and nobody.err.startswith("error: ")
    sent = said["send-test"]
    assert (
        sent.code == 0 and "acknowledged in" in sent.out and "the test had an outbox of its own" in sent.out
    )
    assert len(found.site.listener.events("agent.test")) == 1
    doctor = said["doctor"]
    assert (doctor.code, doctor.values["device"]["board"][: len(MODELS[name])]) == (0, MODELS[name])


def test_only_deltas_are_left_out_on_32_bit() -> None:
    names = {name: {one.name for one in agent_requirements(ALL_BOARDS[name])} for name in BOARDS}
    assert names["pi4"] - names["pi2"] == {"bsdiff4"} and names["pi2"] < names["pi4"] == names["pi5"]
