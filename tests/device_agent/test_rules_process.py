"""Rules, snapshots and privacy in the agent as a user starts it, with a real broker."""

import hashlib
import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from device_agent.agent_parts import ADDRESS, AgentProcess, Broker, Listener
from fleet.real_parts import EDGEWISE, WAIT_S
from PIL import Image

from edgewise_agent.privacy import read_audit
from edgewise_fleet.commanding import make_command
from edgewise_fleet.keys import make_key
from edgewise_messages import Outcome, join_snapshot

WriteConfig = Callable[..., Path]
StartAgent = Callable[[Path], AgentProcess]
RULE = {
    "name": "green", "when": 'label == "green"', "tell": "each", "cooldown_s": 3600.0, "severity": "warning",
    "message": "{label} at {score:.1f}", "snapshot": True,
}  # fmt: skip


def ask(listener: Listener, name: str, number: int, key: Path, **arguments: str) -> Any:
    """The response to a command that the owner of ``key`` has signed."""
    id_ = f"c-{number}"
    listener.command(make_command(name, arguments, address=ADDRESS, key=key, command_id=id_))
    return listener.wait_for(
        lambda: next((one for one in listener.responses if one.id == id_), None), f"the answer to {id_}"
    )


def test_a_rule_is_told_and_its_input_is_sent_only_where_that_is_allowed(
    broker: Broker, listener: Listener, write_config: WriteConfig, start_agent: StartAgent, tmp_path: Path
) -> None:
    privacy = {"raw_leaves": True, "allowed_brokers": [broker.url], "redact": ["audio"], "names_leave": False}
    config = write_config(
        broker.url, pipeline={"events": "none"}, snapshots={"min_free_mb": 0}, privacy=privacy,
        commands={"keys": [str(make_key(tmp_path / "owner"))]},
        **{"pipelines.main.rules": {"rule": [RULE]}},
    )  # fmt: skip
    agent = start_agent(config)
    (event,) = listener.wait_for(lambda: listener.events("rule.green"), "the rule's event")
    assert event.message == "green at 1.0" or event.message.startswith("green at 0.")
    assert event.data["input"] == "(name withheld)" and event.severity == "warning"
    answer = ask(listener, "snapshot", 1, tmp_path / "owner", id=event.data["snapshot"])
    assert answer.outcome == Outcome.DONE and "audit record 1 " in answer.message
    listener.wait_for(lambda: listener.chunks, "the snapshot")
    data = join_snapshot(listener.chunks)
    assert Image.open(io.BytesIO(data)).size == (32, 32)
    (line,) = read_audit(tmp_path / "state/audit")
    assert line["sha256"] == hashlib.sha256(data).hexdigest() and line["to"] == broker.url
    assert listener.metas[-1].raw_data_leaves_device
    assert ask(listener, "erase", 2, tmp_path / "owner").message.startswith("1 snapshots erased")
    assert not list((tmp_path / "state/snapshots").iterdir())
    assert agent.end() == 0
    listed = subprocess.run(
        [EDGEWISE, "agent", "audit", "--config", str(config), "--verify"],
        capture_output=True, text=True, check=False, timeout=WAIT_S,
    )  # fmt: skip
    assert listed.returncode == 0 and "1 records, none changed" in listed.stdout


def test_by_default_a_snapshot_stays_here(
    broker: Broker, listener: Listener, write_config: WriteConfig, start_agent: StartAgent, tmp_path: Path
) -> None:
    config = write_config(
        broker.url, pipeline={"events": "none"}, snapshots={"min_free_mb": 0},
        commands={"keys": [str(make_key(tmp_path / "owner"))]},
        **{"pipelines.main.rules": {"rule": [RULE]}, "pipelines.main.sampling": {"enabled": True, "keep_per_class": 2}},
    )  # fmt: skip
    agent = start_agent(config)
    listener.wait_for(lambda: listener.events("rule.green"), "the rule's event")
    answer = ask(listener, "snapshot", 1, tmp_path / "owner")
    assert answer.outcome == Outcome.REJECTED and "privacy.raw_leaves is false" in answer.message
    sampled = listener.wait_for(lambda: listener.events("prediction"), "sampled predictions")
    assert sampled[0].data["weight"] == 1.0
    listener.wait_for(
        lambda: any(one.get("snapshots.count") == 1 for one in listener.telemetry()), "the count"
    )
    assert agent.end() == 0
    assert not listener.chunks and not (tmp_path / "state/audit").exists()


def test_withheld_names_stand_in_no_event(
    broker: Broker, listener: Listener, write_config: WriteConfig, start_agent: StartAgent, photos: Path
) -> None:
    (photos / "ann-at-home.png").write_bytes(b"no picture")
    agent = start_agent(write_config(broker.url, privacy={"names_leave": False}))
    (failed,) = listener.wait_for(lambda: listener.events("input.failed"), "the broken picture")
    told = listener.wait_for(lambda: listener.events("prediction"), "predictions")
    assert agent.end() == 0
    assert failed.data["input"] == told[0].data["input"] == "(name withheld)"
    assert (
        "ann" not in failed.message and "photos" not in failed.message and "not a picture" in failed.message
    )


def test_a_mistake_in_a_rule_is_found_by_check(write_config: WriteConfig) -> None:
    for when, says in (
        (
            "scor > 1",
            "pipelines.main.rules.rule[0] 'green'.when: column 1: unknown 'scor'; did you mean 'score'?",
        ),
        ('count("gren") > 0', "unknown label 'gren'; known are 'red', 'green', 'blue'"),
        ("is_anomalous", "'is_anomalous' has no meaning for answers of the kind 'classification'"),
    ):
        config = write_config(**{"pipelines.main.rules": {"rule": [{**RULE, "when": when}]}})
        outcome = subprocess.run(
            [EDGEWISE, "agent", "check", "--config", str(config), "--json"],
            capture_output=True, text=True, check=False, timeout=WAIT_S,
        )  # fmt: skip
        problems = json.loads(outcome.stdout)["problems"]
        assert outcome.returncode == 1 and says in f"{problems[0]['where']}: {problems[0]['message']}"


def test_check_tries_the_face_detector_and_the_key(
    write_config: WriteConfig, tiny_model: Path, tmp_path: Path
) -> None:
    privacy = {"raw_leaves": True, "allowed_regions": ["eu"], "regions": {"mqtt://127.0.0.1:1": "eu"}}
    config = write_config(
        privacy={**privacy, "face_model": str(tiny_model)},
        offload={"enabled": True, "servers": [{"url": "https://a"}], "key_file": str(tmp_path / "none")},
    )
    outcome = subprocess.run(
        [EDGEWISE, "agent", "check", "--config", str(config), "--json"],
        capture_output=True, text=True, check=False, timeout=WAIT_S,
    )  # fmt: skip
    problems = json.loads(outcome.stdout)["problems"]
    assert [one["where"] for one in problems] == ["privacy.face_model", "offload.key_file"]
    assert "got no face detector" in problems[0]["message"]
