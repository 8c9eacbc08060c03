"""Numbers and times in words."""

import pytest

from edgewise_fleet import wording

NOW_MS = 1_790_000_000_000


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (172_800, "2 d"),
        (-5, "0 s"),
    ],
)
def test_an_age_has_one_unit(seconds: int, said: str) -> None:
    assert wording.age(NOW_MS - seconds * 1000, NOW_MS) == said


@pytest.mark.parametrize(
    ("then_ms", "said"), [(0, "never"), (NOW_MS - 4000, "now"), (NOW_MS - 30_000, "30 s ago")]
)
def test_last_seen_ticks_only_when_it_matters(then_ms: int, said: str) -> None:
    assert wording.seen(then_ms, NOW_MS) == said


@pytest.mark.parametrize(
    ("value", "said"), [(None, "–"), (0, "0 B"), (1023, "1023 B"), (61e6, "58.2 MiB"), (5e15, "4547.5 TiB")]
)
def test_sizes_are_binary(value: float | None, said: str) -> None:
    assert wording.size(value) == said


def test_a_number_that_was_never_told_is_a_dash() -> None:
    assert (wording.number(None, unit="ms"), wording.number(1234.56, unit="ms")) == ("–", "1,234.6 ms")


@pytest.mark.parametrize(("words", "said"), [(None, "–"), ((), "no"), (("hot", "capped"), "hot, capped")])
def test_throttling_tells_never_told_from_no(words: tuple[str, ...] | None, said: str) -> None:
    assert wording.throttled(words) == said
