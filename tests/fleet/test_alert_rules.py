"""Files of rules: what is refused, and in which words; silence windows."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from edgewise_fleet.alerts import Silence, builtin_rules, load_rules, parse_rules
from edgewise_fleet.errors import BadRules

METRIC = '[[rule]]\nname = "r"\nkind = "metric"\nmetric = "board.temperature_c"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = [", "test: "),
        ("[notify]\nwebhook = []", "did you mean 'webhooks'?"),
        (METRIC, "got 0 of above, below and bits, expected one"),
        (METRIC + "above = 1\nbelow = 2", "got 2 of above, below and bits"),
        (METRIC + "above = 80\nclear_at = 85", "clear_at: got 85, expected at most above = 80"),
        (METRIC + "below = 80\nclear_at = 75", "expected at least below = 80"),
        (METRIC + "bits = 4\nclear_at = 1", "clear_at has no meaning with bits"),
        (METRIC + 'above = 1\nseverity = "loud"', "severity"),
        (METRIC + 'above = 1\ncause = "{valeu}"', "got {valeu}, expected one of value"),
        (METRIC + 'above = 1\ncause = "{value.__class__}"', "expected one of value"),
        (METRIC + 'above = 1\ncause = "{"', "write {{ for a brace"),
        (
            METRIC.replace("board.temperature_c", "temperature_c") + "above = 1",
            "did you mean 'board.temperature_c'?",
        ),
        ('[[rule]]\nname = "r"\nkind = "event"\nevents = ["a"]', "would never be cleared"),
        ('[[rule]]\nname = "R r"\nkind = "absence"', "name"),
        ('[[rule]]\nname = "r"\nkind = "absence"\n' * 2, "two rules have one name"),
        ('[notify]\nwebhooks = ["file:///etc/passwd"]', "expected http://"),
        ('[[silence]]\nreason = "x"', "would hold for ever"),
        ('[[silence]]\nbegin = "22:00"', "begin and end go together"),
        ('[[silence]]\ndays = ["monday"]', "got 'monday', expected mon, tue"),
        ('[[silence]]\nbegin = "25:00"\nend = "06:00"', "begin"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_words(text: str, said: str) -> None:
    with pytest.raises(BadRules) as caught:
        parse_rules(text, where="test")
    assert said in str(caught.value)
    assert str(caught.value).startswith("test")


def test_a_rule_of_the_same_name_replaces_a_builtin_one_and_can_switch_it_off(tmp_path: Path) -> None:
    file = tmp_path / "alerts.toml"
    file.write_text(
        METRIC.replace('"r"', '"temperature"')
        + 'above = 70\n[[rule]]\nname = "drift"\nkind = "absence"\nenabled = false\n'
    )
    found = {rule.name: rule for rule in load_rules(file).rule}
    assert getattr(found["temperature"], "above", None) == 70
    assert "drift" not in found
    assert len(found) == len(builtin_rules()) - 1


def local_ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    window = Silence(begin="22:00", end="06:00", days=("fri",))
    assert not window.holds(local_ms("2026-11-27T21:59:59"))  # a Friday
    assert window.holds(local_ms("2026-11-27T22:00:00"))
    assert window.holds(local_ms("2026-11-28T05:59:59"))
    assert not window.holds(local_ms("2026-11-28T06:00:00"))
    assert not window.holds(local_ms("2026-11-28T23:00:00"))
    assert not window.holds(local_ms("2026-11-27T03:00:00"))


def test_a_single_window_ends_and_is_about_what_it_names() -> None:
    window = Silence(since_ms=100, until_ms=200, rules=("hot",), groups=("shop",))
    assert window.covers(rule="hot", group="shop", device="d", now_ms=100)
    assert not window.covers(rule="hot", group="shop", device="d", now_ms=200)
    assert not window.covers(rule="cold", group="shop", device="d", now_ms=150)
    assert not window.covers(rule="hot", group="lab", device="d", now_ms=150)


def test_check_prints_the_rules_or_what_is_wrong(
    fleet_command: Callable[..., CompletedProcess[str]], tmp_path: Path
) -> None:
    file = tmp_path / "alerts.toml"
    file.write_text(METRIC + "above = 70\n")
    done = fleet_command("alerts", "check", str(file))
    assert done.returncode == 0, done.stderr
    assert "r " in done.stdout and "device-silent" in done.stdout
    file.write_text("[notify]\nwebhook = []")
    done = fleet_command("alerts", "check", str(file))
    assert done.returncode == 1
    assert "did you mean 'webhooks'?" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_far_too_large_is_refused_without_reading_it_whole(tmp_path: Path) -> None:
    file = tmp_path / "disk.img"
    with file.open("wb") as stream:
        stream.truncate(1 << 40)  # sparse; more than any memory
    with pytest.raises(BadRules, match="name a TOML file of rules"):
        load_rules(file)
