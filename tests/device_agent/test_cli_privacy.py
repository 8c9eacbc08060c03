"""`edgewise agent audit` and `serve-offload`, as a user runs them."""

import io
import json
import signal
import subprocess
from pathlib import Path

from fleet.real_parts import EDGEWISE, WAIT_S
from PIL import Image

from edgewise_agent.offload import Offloader, OffloadServerSettings, OffloadSettings
from edgewise_agent.privacy import AuditLog, Gate, PrivacySettings
from edgewise_agent.privacy.audit import NAME
from edgewise_agent.snapshots import Encoded


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [EDGEWISE, "agent", *words], capture_output=True, text=True, check=False, timeout=WAIT_S
    )


def test_the_log_is_listed_and_verified(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    log = AuditLog(folder, max_bytes=10**6)
    for place in range(2):
        log.append(
            {"to": "mqtts://a:8883", "why": f"command c{place}", "media": "image/jpeg", "size_bytes": 5},
            ts_ms=1_795_000_000_000,
        )
    state = ("--state-dir", str(tmp_path))
    assert run("audit", *state).stdout.splitlines() == [
        f"{n}  2026-11-18 11:06:40  image/jpeg, 5 bytes to mqtts://a:8883 (command c{n - 1})" for n in (1, 2)
    ]
    assert [line["n"] for line in json.loads(run("audit", *state, "--json").stdout)] == [1, 2]
    head = f"{log.head.number}:{log.head.sha256}"
    verified = run("audit", *state, "--verify")
    assert verified.returncode == 0 and f"2 records, none changed\n  last    {head}" in verified.stdout
    path = folder / NAME
    path.write_bytes(path.read_bytes().replace(b"c0", b"c9"))
    changed = run("audit", *state, "--verify")
    assert changed.returncode == 1 and "line 2 (number 2): does not follow number 1" in changed.stderr
    path.write_bytes(path.read_bytes().replace(b"c9", b"c0").splitlines(keepends=True)[0])
    cut = run("audit", *state, "--expect", head, "--json")
    assert cut.returncode == 1 and json.loads(cut.stdout)["ok"] is False


def test_an_empty_log_and_a_wrong_word_are_said(tmp_path: Path) -> None:
    assert "no input has left this device" in run("audit", "--state-dir", str(tmp_path)).stdout
    assert run("audit", "--state-dir", str(tmp_path), "--expect", "x").returncode == 2
    missing = run("audit", "--config", str(tmp_path / "no.toml"))
    assert missing.returncode == 1 and "no such file" in missing.stderr and "Traceback" not in missing.stderr


def test_the_server_answers_until_it_is_ended(tmp_path: Path, tiny_model: Path) -> None:
    command = [EDGEWISE, "agent", "serve-offload", "--model", str(tiny_model), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        settings = OffloadSettings(
            enabled=True, max_latency_ms=20_000.0, servers=(OffloadServerSettings(url=url),)
        )
        rules = PrivacySettings(raw_leaves=True, allowed_brokers=(url,), redact=())
        offloader = Offloader(settings, Gate(rules, AuditLog(tmp_path, max_bytes=10**6)))
        offloader.servers.probe()
        stream = io.BytesIO()
        Image.new("RGB", (32, 32), "blue").save(stream, "JPEG")
        outcome = offloader.consider(lambda: Encoded("image/jpeg", stream.getvalue()), label="red", score=0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == 0
        assert process.stderr is not None and "Traceback" not in process.stderr.read()
    assert outcome is not None and (outcome.label, outcome.answered_by) == ("blue", url)


def test_a_port_that_is_taken_and_an_open_door_are_said(tiny_model: Path, tmp_path: Path) -> None:
    model = ("--model", str(tiny_model))
    for words, says in (
        ((*model, "--host", "0.0.0.0"), "give a key with --key-file"),
        ((*model, "--host", "203.0.113.1", "--key-file", str(tiny_model)), "key"),
        (("--model", str(tmp_path / "none.tflite")), "none.tflite"),
        ((*model, "--certificate", str(tmp_path / "none.pem")), "none.pem"),
    ):
        outcome = run("serve-offload", *words, *(("--port", "0") if "--port" not in words else ()))
        assert outcome.returncode == 1 and says in outcome.stderr and "Traceback" not in outcome.stderr
