import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from device_agent.agent_parts import Broker
from fleet.real_parts import EDGEWISE, WAIT_S

WriteConfig = Callable[..., Path]


def agent(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [EDGEWISE, "agent", *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert "Traceback" not in done.stderr
    return done


def problems(config: Path, *options: str) -> list[str]:
    """What check says, as `section.key: message`; it must say the same to people and to machines."""
    told = agent("check", "--config", config, *options, folder=config.parent)
    parsed = agent("check", "--config", config, "--json", *options, folder=config.parent)
    assert told.returncode == parsed.returncode == 1
    assert told.stdout == ""
    result = json.loads(parsed.stdout)
    assert result["ok"] is False
    found = [f"{problem['where']}: {problem['message']}" for problem in result["problems"]]
    assert all(line.removeprefix("file: ") in told.stderr for line in found)
    assert told.stderr.startswith(f"error: {config}: ")
    assert len(told.stderr.splitlines()) == (1 if len(found) == 1 else 1 + len(found))
    return found


def test_a_good_file_is_ok_and_nothing_is_created(write_config: WriteConfig, tmp_path: Path) -> None:
    config = write_config()
    before = sorted(tmp_path.rglob("*"))
    done = agent("check", "--config", config, folder=tmp_path)
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == f"{config}: ok"
    assert "3 images now" in done.stdout
    parsed = agent("check", "--json", folder=tmp_path)
    assert json.loads(parsed.stdout) == {"file": "agent.toml", "ok": True, "problems": []}
    assert sorted(tmp_path.rglob("*")) == before


def test_everything_missing_is_told_in_one_go(write_config: WriteConfig, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    config = write_config(
        url="mqtts://127.0.0.1:1",
        device={"state_dir": "file"},
        pipeline={"model": "none.tflite", "source": ["empty", "nowhere"]},
        broker={"username": "x", "password_file": "none", "ca_file": "none.pem"},
    )
    found = problems(config)
    assert [line.split(":")[0] for line in found] == [
        "device.state_dir", "pipelines.main.model", "pipelines.main.source", "pipelines.main.source",
        "broker.password_file", "broker.ca_file",
    ]  # fmt: skip
    assert "is not a folder" in found[0]
    assert "none.tflite" in found[1]
    assert "no image in this folder; pipelines.main.recursive = true" in found[2]
    assert "nowhere: No such file or directory" in found[3]


def test_a_model_file_that_is_none_is_told(write_config: WriteConfig, tmp_path: Path) -> None:
    (tmp_path / "bad.tflite").write_bytes(b"TFL3" * 10)
    (line,) = problems(write_config(pipeline={"model": "bad.tflite"}))
    assert line.startswith("pipelines.main.model: ")
    assert "bad.tflite" in line


def test_unknown_keys_name_the_nearest(write_config: WriteConfig) -> None:
    (line,) = problems(write_config(report={"interval": 3}))
    assert line == "report.interval: unknown key; did you mean 'interval_s'?"


def test_a_state_folder_that_cannot_be_made_is_told(write_config: WriteConfig, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (line,) = problems(write_config(device={"state_dir": "file/deep/state"}))
    assert line.startswith("device.state_dir: ")
    assert line.endswith("file is not a folder")


def test_key_and_root_files_that_are_not_there_are_told(write_config: WriteConfig) -> None:
    config = write_config(
        updates={"repository": "/media/x", "root_file": "/nowhere/root.json"},
        commands={"keys": ["/nowhere/a.pub"]},
    )
    root, keys = problems(config)
    assert root == "updates.root_file: /nowhere/root.json: no such file, or not readable by this user"
    assert keys.startswith("commands.keys: /nowhere/a.pub: No such file or directory")


def test_connect_tries_the_broker(write_config: WriteConfig, broker: Broker, tmp_path: Path) -> None:
    (line,) = problems(write_config("mqtt://127.0.0.1:1"), "--connect")
    assert line == "broker.url: mqtt://127.0.0.1:1: connection refused; is a broker running there?"
    config = write_config(broker.url)
    done = agent("check", "--connect", "--config", config, folder=tmp_path)
    assert done.returncode == 0
    assert f"{broker.url}, which answers" in done.stdout


def test_run_refuses_the_same_settings_that_check_does(write_config: WriteConfig, tmp_path: Path) -> None:
    done = agent("run", "--config", write_config(report={"interval": 3}), folder=tmp_path)
    assert done.returncode == 1
    assert "did you mean 'interval_s'?" in done.stderr
    assert not (tmp_path / "state").exists()


def test_init_writes_a_file_that_check_understands_and_overwrites_nothing(tmp_path: Path) -> None:
    done = agent("init", folder=tmp_path)
    assert done.returncode == 0
    assert "edgewise agent check --config agent.toml" in done.stdout
    written = (tmp_path / "agent.toml").read_text()
    again = agent("init", folder=tmp_path)
    assert again.returncode == 1
    assert again.stderr == "error: agent.toml: exists already; name another with --out\n"
    assert (tmp_path / "agent.toml").read_text() == written
    wheres = [line.split(":")[0] for line in problems(tmp_path / "agent.toml")]
    assert wheres == ["pipelines.main.model", "pipelines.main.source"], (
        "only what the example cannot know is missing"
    )


def test_init_into_a_missing_folder_is_one_line(tmp_path: Path) -> None:
    done = agent("init", "--out", "none/agent.toml", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "error: none/agent.toml: No such file or directory\n"


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--help"], ["check", "--help"], ["init", "--help"]]
)
def test_every_command_has_help(arguments: list[str], tmp_path: Path) -> None:
    done = agent(*arguments, folder=tmp_path)
    assert done.returncode == 0
    assert "Usage:" in done.stdout
