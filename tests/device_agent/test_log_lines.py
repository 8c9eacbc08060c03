import logging

import pytest

from edgewise_agent.logs import lines
from edgewise_agent.logs.lines import OneLine, RateLimit


def record(message: str, *values: object, level: int = logging.WARNING) -> logging.LogRecord:
    return logging.LogRecord("edgewise.agent.broker", level, __file__, 1, message, values, None)


def test_a_line_has_time_level_part_and_text_and_stays_one_line() -> None:
    line = OneLine().format(record("odd name %s", "a\nb\r"))
    time, level, part, text = line.split(" ", 3)
    assert time.endswith("Z")
    assert (level, part, text) == ("WARNING", "broker:", "odd name a\\nb\\r")


def test_the_same_warning_comes_once_and_later_says_how_often_it_was_held_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limit = RateLimit()
    assert limit.filter(record("lost %s", 1))
    assert not limit.filter(record("lost %s", 2))
    assert not limit.filter(record("lost %s", 3))
    assert limit.filter(record("another %s", 3))
    monkeypatch.setattr(lines, "AGAIN_AFTER_S", 0.0)
    later = record("lost %s", "100 %d")
    assert limit.filter(later)
    assert later.getMessage() == "lost 100 %d (2 more like this)"


def test_what_is_no_warning_always_comes() -> None:
    limit = RateLimit()
    assert all(limit.filter(record("connected", level=logging.INFO)) for _ in range(3))
