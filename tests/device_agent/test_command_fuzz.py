import logging
from pathlib import Path

import pytest
from device_agent.command_fuzz import fuzz

COUNT = 100_000
"""About eight seconds; benchmarks/command_fuzz.py takes any number."""


def test_no_malformed_forged_or_repeated_command_is_done_and_none_ends_the_desk(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "edgewise.agent.commands")
    fuzzed = fuzz(tmp_path, count=COUNT, seed=20)
    assert sum(fuzzed.by_kind.values()) == COUNT
    assert min(fuzzed.by_kind.values()) > COUNT // 1000
    assert fuzzed.done == []
    assert fuzzed.accepted == []
    assert 0 < fuzzed.unanswered < COUNT
