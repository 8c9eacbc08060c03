"""Bounded logs: files that take turns, repeats counted once, and the command that reads them."""

import logging
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from device_agent.agent_parts import AgentProcess
from fleet.real_parts import EDGEWISE, WAIT_S, wait_until

from edgewise_agent.logs.file import FILES, LOG_NAME, Follower, last_lines, log_files, log_to_file
from edgewise_agent.logs.lines import log_to_stderr
from edgewise_agent.logs.settings import LogSettings

LOGGER = logging.getLogger("edgewise.agent.test")


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """The agent's logger as it was."""
    logger = logging.getLogger("edgewise.agent")
    handlers, level, propagates = list(logger.handlers), logger.level, logger.propagate
    log_to_stderr(verbose=False)
    yield
    for handler in logger.handlers:
        handler.close()
    logger.handlers[:], logger.level, logger.propagate = handlers, level, propagates


def size_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def test_all_files_together_stay_within_the_bound(tmp_path: Path) -> None:
    log_to_file(tmp_path, LogSettings(max_mb=0.1))
    for number in range(4000):
        LOGGER.info("line %d ü %s", number, "x" * 60)
        assert number % 50 or size_bytes(tmp_path) <= 0.1 * 1024 * 1024
    assert len(log_files(tmp_path)) == FILES
    lines = list(last_lines(tmp_path, 300))
    assert [int(line.split("line ")[1].split()[0]) for line in lines] == list(range(3700, 4000))


def test_a_line_is_the_same_on_stderr_and_in_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log_to_stderr(verbose=False)
    log_to_file(tmp_path, LogSettings())
    LOGGER.info("all is\nwell")
    assert (tmp_path / LOG_NAME).read_text() == capsys.readouterr().err
    assert re.fullmatch(r"\S+Z INFO test: all is\\nwell\n", (tmp_path / LOG_NAME).read_text())


def test_repeats_are_held_back_once_for_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr(verbose=False)
    log_to_file(tmp_path, LogSettings())
    for number in range(100):
        LOGGER.warning("broken %d", number)
    assert (
        len((tmp_path / LOG_NAME).read_text().splitlines()) == len(capsys.readouterr().err.splitlines()) == 1
    )


def test_a_file_that_cannot_be_written_costs_the_lines_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log_to_stderr(verbose=False)
    (tmp_path / LOG_NAME).mkdir()
    log_to_file(tmp_path, LogSettings())
    LOGGER.info("one")
    LOGGER.info("two")
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert said.count("cannot be written; the log goes to stderr only") == 1
    assert "two" in said


def test_turned_off_nothing_is_written(tmp_path: Path) -> None:
    assert log_to_file(tmp_path, LogSettings(to_file=False)) is None
    LOGGER.info("one")
    assert list(tmp_path.iterdir()) == []
    assert list(last_lines(tmp_path, 10)) == []


def test_a_follower_misses_nothing_when_the_file_changes(tmp_path: Path) -> None:
    path = tmp_path / LOG_NAME
    follower = Follower(tmp_path)
    assert follower.new_text() == ""
    path.write_text("1\n")
    assert follower.new_text() == "1\n"
    with path.open("a") as stream:
        stream.write("2\n")
    path.rename(tmp_path / f"{LOG_NAME}.1")
    path.write_text("3\n")
    assert follower.new_text() == "2\n3\n"
    assert follower.new_text() == ""


def logs(config: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [EDGEWISE, "agent", "logs", "--config", str(config), *words],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
    )


def test_the_command_shows_the_log_of_an_agent_and_follows_it(
    write_config: Callable[..., Path], start_agent: Callable[[Path], AgentProcess], tmp_path: Path
) -> None:
    config = write_config()
    nothing = logs(config)
    assert nothing.returncode == 1
    assert "the agent has not run yet" in nothing.stderr
    agent = start_agent(config)
    agent.wait_until_said("next attempt in")
    shown = logs(config, "-n", "500")
    assert shown.returncode == 0
    assert "device cam-1 runs tiny" in shown.stdout
    assert len(logs(config, "-n", "1").stdout.splitlines()) == 1
    heard = tmp_path / "heard"
    with heard.open("w") as stream:
        following = subprocess.Popen(
            [EDGEWISE, "agent", "logs", "-f", "--config", str(config)], stdout=stream
        )
    wait_until(lambda: "device cam-1" in heard.read_text(), "it shows what is there")
    assert agent.end() == 0
    wait_until(lambda: "stopping: SIGTERM" in heard.read_text(), "it shows what is added")
    following.send_signal(signal.SIGINT)
    assert following.wait(WAIT_S) == 130
