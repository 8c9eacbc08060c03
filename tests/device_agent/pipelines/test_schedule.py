import time

import pytest

from edgewise_agent.pipelines.schedule import Schedule


def at(text: str) -> time.struct_time:
    """2026-11-30 is a Monday."""
    return time.strptime(text, "%Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    ("spans", "when", "expected"),
    [
        ([], "2026-11-30 03:00", True),
        (["07:00-19:00"], "2026-11-30 07:00", True),
        (["07:00-19:00"], "2026-11-30 18:59", True),
        (["07:00-19:00"], "2026-11-30 19:00", False),
        (["mon-fri 07:00-19:00"], "2026-12-05 12:00", False),
        (["mon-fri 07:00-19:00"], "2026-12-04 12:00", True),
        (["sat,sun 10:00-14:00", "mon 1:00-2:00"], "2026-12-06 10:00", True),
        (["sat,sun 10:00-14:00", "mon 1:00-2:00"], "2026-11-30 01:30", True),
        (["fri 22:00-06:00"], "2026-12-04 23:00", True),
        (["fri 22:00-06:00"], "2026-12-05 05:59", True),
        (["fri 22:00-06:00"], "2026-12-04 05:00", False),
        (["sat-mon 00:00-24:00"], "2026-11-30 23:59", True),
        (["sat-mon 00:00-24:00"], "2026-12-01 00:00", False),
        (["SUN 22:00 - 06:00"], "2026-11-30 05:00", True),
    ],
)
def test_it_is_open_at_the_times_that_are_said(spans: list[str], when: str, expected: bool) -> None:
    assert Schedule(spans).is_open(at(when)) is expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "noon",
        "07:00",
        "25:00-26:00",
        "07:60-08:00",
        "08:00-08:00",
        "tue-wed-thu 1:00-2:00",
        "day 1:00-2:00",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="schedule: got "):
        Schedule([text])
