"""A snapshot from a real agent's disk to the fleet's API, over a real broker, as its owner allows it or not."""

import hashlib
import io
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import run
from typing import Any

import pytest
from device_agent.agent_parts import ADDRESS, AgentProcess, Broker
from device_agent.test_rules_process import RULE
from fleet.real_parts import EDGEWISE, WAIT_S, Server, Servers, wait_until
from PIL import Image

from edgewise_agent.privacy import read_audit
from edgewise_fleet.keys import make_key

BASE = f"/api/v1/devices/{ADDRESS.group}/{ADDRESS.device}/snapshots"
Headers = dict[str, str]


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    made = Servers(tmp_path)
    yield made
    made.end()


def fleet(folder: Path, *arguments: str, given: str = "") -> str:
    done = run(
        [EDGEWISE, "fleet", *arguments],
        cwd=folder,
        input=given,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def ask(
    server: Server, method: str, path: str, token: str, body: dict[str, str] | None = None
) -> tuple[int, bytes, Headers]:
    """Status, body and headers."""
    request = urllib.request.Request(
        server.url + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
            return answer.status, answer.read(), {key.lower(): value for key, value in answer.headers.items()}
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), {}


def test_an_operator_fetches_a_snapshot_and_everybody_else_looks(
    broker: Broker,
    servers: Servers,
    write_config: Callable[..., Path],
    start_agent: Callable[[Path], AgentProcess],
    tmp_path: Path,
) -> None:
    key = make_key(tmp_path / "owner")
    config = write_config(
        broker.url, pipeline={"events": "none"}, snapshots={"min_free_mb": 0}, commands={"keys": [str(key)]},
        privacy={"raw_leaves": True, "allowed_brokers": [broker.url], "redact": ["audio"]},
        **{"pipelines.main.rules": {"rule": [RULE]}},
    )  # fmt: skip
    fleet(tmp_path, "users", "add", "root", "--role", "admin", given="correct horse battery\n")
    tokens = {
        role: fleet(tmp_path, "tokens", "add", role, "--role", role)
        for role in ("viewer", "operator", "admin")
    }
    server = servers.start("--broker", broker.url, "--rollout-key", str(tmp_path / "owner"))
    agent = start_agent(config)

    def get(path: str, token: str = tokens["viewer"]) -> Any:
        status, body, _ = ask(server, "GET", path, token)
        assert status == 200, body
        return json.loads(body)

    def named() -> str:
        status, body, _ = ask(server, "GET", BASE.replace("snapshots", "events"), tokens["viewer"])
        events = json.loads(body).get("events", []) if status == 200 else []
        return next((one["data"]["snapshot"] for one in events if "snapshot" in one["data"]), "")

    name = wait_until(named, "the rule's event is in the fleet")
    assert get(BASE) == {"snapshots": [], "trouble": ""}
    assert ask(server, "POST", BASE, tokens["viewer"], {})[0] == 403
    status, body, _ = ask(server, "POST", BASE, tokens["operator"], {"snapshot": name})
    assert status == 202, body
    one = f"{BASE}/{json.loads(body)['id']}"
    found = wait_until(lambda: (now := get(one))["state"] != "waiting" and now, "the snapshot came")
    assert (found["state"], found["rule"], found["label"]) == ("here", "green", "green"), found["reason"]
    assert (found["snapshot"], found["shape"], found["asked_by"]) == (name, "32 x 32", "token operator")

    status, data, headers = ask(server, "GET", f"{one}/content", tokens["viewer"])
    assert Image.open(io.BytesIO(data)).size == (32, 32) and headers["content-type"] == found["media"]
    assert headers["x-content-type-options"] == "nosniff" and "sandbox" in headers["content-security-policy"]
    assert headers["content-disposition"].startswith("attachment; filename=")
    (line,) = read_audit(tmp_path / "state/audit")
    assert line["sha256"] == hashlib.sha256(data).hexdigest() == found["sha256"]
    status, small, headers = ask(server, "GET", f"{one}/thumbnail", tokens["viewer"])
    assert Image.open(io.BytesIO(small)).format == "JPEG" and headers["content-type"] == "image/jpeg"

    assert ask(server, "DELETE", one, tokens["viewer"])[0] == 403
    assert ask(server, "DELETE", one, tokens["operator"])[0] == 204
    assert ask(server, "GET", f"{one}/content", tokens["viewer"])[0] == 404
    assert get(BASE)["snapshots"] == []
    log = [entry["what"] for entry in get("/api/v1/audit", tokens["admin"])["entries"]]
    assert log[:2] == ["snapshot deleted", "snapshot asked"]

    wait_until(
        lambda: ask(server, "POST", BASE, tokens["operator"], {"rule": "none"})[0] == 202, "asked again"
    )
    refused = wait_until(
        lambda: (now := get(BASE)["snapshots"][0])["state"] == "failed" and now, "it was refused"
    )
    assert "the device says rejected: there is no snapshot of rule 'none'" in refused["reason"]
    assert agent.end() == 0


@pytest.mark.long
def test_without_the_key_the_api_says_why(broker: Broker, servers: Servers) -> None:
    server = servers.start("--broker", broker.url)
    status, body, _ = ask(server, "POST", BASE, "", {})
    assert status == 409 and "start it with --rollout-key KEY" in json.loads(body)["detail"]
