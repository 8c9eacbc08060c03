"""The status page, Prometheus's text, the status command; against real sockets and the real parser."""

import http.client
import json
import os
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from device_agent.agent_parts import AgentProcess, Broker
from fleet.real_parts import EDGEWISE, WAIT_S, unused_port, wait_until
from prometheus_client.parser import text_string_to_metric_families

from edgewise_agent.errors import NotRunning
from edgewise_agent.state_folder import StateFolder
from edgewise_agent.status.client import find_holder, read_status
from edgewise_agent.status.exposition import expose
from edgewise_agent.status.page import page
from edgewise_agent.status.server import StatusServer, try_to_serve
from edgewise_agent.status.settings import StatusSettings
from edgewise_agent.status.status_board import KEPT_EVENTS, StatusBoard
from edgewise_messages.metrics import STANDARD, Kind

NOW_MS = 1_795_953_600_000
MARKUP = '<b id="injected">"&'


def make_board(silent: dict[str, float] | None = None) -> StatusBoard:
    board = StatusBoard(
        group="shop", device="cam-1", version="1.2", silent=lambda: silent or {}, now_ms=lambda: NOW_MS
    )
    board.tell("model", name="lite0", precision="int8", drift=None)
    board.tell("broker", url="mqtt://127.0.0.1:1883", connected=True)
    board.metrics({"model.inferences": 5, "model.latency_p95_ms": 31.5, "agent.pss_bytes": 52 * 1024**2})
    board.event("input.failed", MARKUP, severity="warning")
    return board


@pytest.fixture
def serve() -> Iterator[Callable[..., StatusServer]]:
    servers: list[StatusServer] = []

    def start(board: StatusBoard, **settings: Any) -> StatusServer:
        servers.append(StatusServer(StatusSettings(port=unused_port(), **settings), board))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def get(
    server: StatusServer, path: str, *, method: str = "GET", host: str = "127.0.0.1"
) -> tuple[int, Any, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=WAIT_S)
    connection.request(method, path, headers={"Host": host})
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, response.headers, body


def test_prometheuss_own_parser_reads_every_metric() -> None:
    board = make_board()
    board.metrics({metric.name: 1.5 for metric in STANDARD})
    families = {
        family.name: family for family in text_string_to_metric_families(expose(board.snapshot()).decode())
    }
    assert len(families) == len(STANDARD) + 2
    for metric in STANDARD:
        family = families[f"edgewise_{metric.name.replace('.', '_')}"]
        assert family.type == metric.kind.value
        (sample,) = family.samples
        assert sample.name.endswith("_total") == (metric.kind is Kind.COUNTER)
        assert (sample.value, sample.labels) == (1.5, {"group": "shop", "device": "cam-1"})
    assert families["edgewise_agent_healthy"].samples[0].value == 1


def test_what_is_not_finite_or_not_standard_is_not_exposed() -> None:
    board = make_board()
    board.metrics({"model.latency_p95_ms": float("nan"), "own.metric": 1})
    assert {one.name for one in text_string_to_metric_families(expose(board.snapshot()).decode())} == {
        "edgewise_agent_healthy",
        "edgewise_agent_report_timestamp_seconds",
    }


def test_the_server_gives_page_metrics_health_and_json(serve: Callable[..., StatusServer]) -> None:
    server = serve(make_board())
    status, headers, body = get(server, "/")
    assert (status, headers.get_content_type()) == (200, "text/html")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "shop/cam-1" in body
    assert get(server, "/healthz")[::2] == (200, "ok\n")
    assert "edgewise_model_inferences_total" in get(server, "/metrics")[2]
    document = json.loads(get(server, "/status.json?x=1")[2])
    assert document["healthy"] is True
    assert document["facts"]["model"]["name"] == "lite0"
    assert document["metrics"]["model.inferences"] == 5
    assert document["events"][0]["severity"] == "warning"
    assert get(server, "/healthz", method="HEAD")[::2] == (200, "")
    assert get(server, "/other")[0] == 404
    assert get(server, "/", method="POST")[0] == 501


def test_a_silent_part_makes_it_unhealthy(serve: Callable[..., StatusServer]) -> None:
    server = serve(make_board({"courier": 12.0}))
    assert get(server, "/healthz")[::2] == (503, "not heard from: courier\n")
    assert "not heard from: courier" in get(server, "/")[2]
    assert json.loads(get(server, "/status.json")[2])["healthy"] is False


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:9477", "[::1]:9477"])
def test_local_names_are_answered(serve: Callable[..., StatusServer], host: str) -> None:
    assert get(serve(make_board()), "/status.json", host=host)[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9477", "10.0.0.1", ""])
def test_a_name_that_is_not_local_is_refused(serve: Callable[..., StatusServer], host: str) -> None:
    assert get(serve(make_board()), "/status.json", host=host)[0] == 421


def test_opened_to_the_network_it_answers_every_name_and_warns(
    serve: Callable[..., StatusServer], caplog: pytest.LogCaptureFixture
) -> None:
    assert get(serve(make_board(), address="0.0.0.0"), "/healthz", host="pod.example")[0] == 200
    assert "whoever reaches this device can read the page" in caplog.text


def test_it_listens_on_ipv6_too(serve: Callable[..., StatusServer], caplog: pytest.LogCaptureFixture) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    server = serve(make_board(), address="::1")
    with socket.create_connection(("::1", server.port), timeout=WAIT_S) as client:
        client.sendall(b"GET /healthz HTTP/1.0\r\nHost: [::1]\r\n\r\n")
        assert b" 200 " in client.makefile("rb").readline()


def test_a_client_that_says_nothing_holds_nobody_up(serve: Callable[..., StatusServer]) -> None:
    server = serve(make_board())
    with socket.create_connection(("127.0.0.1", server.port)):
        assert get(server, "/healthz")[0] == 200


def test_a_taken_port_costs_the_page_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert try_to_serve(StatusSettings(port=port), make_board()) is None
    assert f"status.port {port} on 127.0.0.1: Address already in use" in caplog.text
    assert try_to_serve(StatusSettings(port=0), make_board()) is None


def test_texts_of_the_device_are_no_markup() -> None:
    html = page(make_board().snapshot()).decode()
    assert MARKUP not in html
    assert "&lt;b id=&quot;injected&quot;&gt;&quot;&amp;" in html


def test_the_board_keeps_the_latest_events_and_forgets_parts() -> None:
    board = make_board()
    for number in range(KEPT_EVENTS + 5):
        board.event(f"event-{number}")
    board.forget("model")
    snapshot = board.snapshot()
    assert [len(snapshot.events), snapshot.events[0].name] == [KEPT_EVENTS, f"event-{KEPT_EVENTS + 4}"]
    assert set(snapshot.facts) == {"broker"}


def test_the_client_says_what_is_wrong(tmp_path: Path, serve: Callable[..., StatusServer]) -> None:
    off, dead = StatusSettings(port=0), StatusSettings(port=unused_port())
    with pytest.raises(NotRunning, match="no agent runs on"):
        read_status(dead, state_dir=tmp_path / "none")
    with StateFolder(tmp_path / "state") as state:
        holder = find_holder(state.path)
        assert holder is not None
        with pytest.raises(NotRunning, match=rf"process {holder.pid}\), but its status page is off"):
            read_status(off, state_dir=state.path)
        with pytest.raises(
            NotRunning, match=rf"process {holder.pid}\), but nobody answers on port {dead.port}"
        ):
            read_status(dead, state_dir=state.path)
        server = serve(make_board())
        assert read_status(StatusSettings(port=server.port), state_dir=state.path)["device"] == "cam-1"
        (state.path / "agent.lock").write_text("1\n")
        with pytest.raises(NotRunning, match="belongs to another agent"):
            read_status(StatusSettings(port=server.port), state_dir=state.path)
    assert find_holder(tmp_path / "state") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_user_who_may_not_see_the_folder_is_told_so_and_not_that_nobody_runs(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state/agent.lock").touch()
    os.seteuid(65534)
    try:
        with pytest.raises(NotRunning, match="this user may not see: try sudo"):
            read_status(StatusSettings(port=1), state_dir=tmp_path / "state")
    finally:
        os.seteuid(0)


def agent(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [EDGEWISE, "agent", *map(str, words)], capture_output=True, text=True, timeout=WAIT_S
    )


def test_the_real_agent_shows_itself(
    write_config: Callable[..., Path], start_agent: Callable[[Path], AgentProcess], broker: Broker
) -> None:
    port = unused_port()
    config = write_config(broker.url, status={"port": port})
    running = start_agent(config)

    def reports() -> Any:
        done = agent("status", "--json", "--config", config)
        document = json.loads(done.stdout) if done.returncode == 0 else {}
        is_there = document.get("metrics_ms") and document["facts"]["broker"].get("connected")
        return document if is_there else None

    document = wait_until(reports, "the first report is shown")
    assert document["pid"] == running.process.pid, "the command replaced itself by the lean agent"
    assert document["facts"]["model"]["name"] == "tiny"
    assert document["facts"]["broker"]["connected"] is True
    assert document["metrics"]["agent.pss_bytes"] > 0
    assert "agent.started" in [event["name"] for event in document["events"]]
    assert not any(event["name"] == "prediction" for event in document["events"])
    shown = agent("status", "--config", config).stdout
    assert re.match(rf"test/cam-1: running \(process {running.process.pid}, for \d+ s\)\n", shown)
    broker.stop()
    trouble = wait_until(
        lambda: json.loads(agent("status", "--json", "--config", config).stdout)["facts"]["broker"].get(
            "last_trouble"
        ),
        "the lost broker is shown",
    )
    assert "mqtt://" in trouble
    assert running.end() == 0
    gone = agent("status", "--config", config)
    assert gone.returncode == 1
    assert "no agent runs on" in gone.stderr
