from pathlib import Path

from edgewise_agent.wire.sparkplug.rules import RULES

PAGE = (Path(__file__).parents[2] / "docs/agent/wire.md").read_text()


def test_the_page_lists_every_rule_of_the_checker_with_what_it_asks_for() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `") and " | " in line]
    listed = {row.split("`")[1]: row.split(" | ")[1].rstrip(" |") for row in rows}
    assert {rule.name: rule.says for rule in RULES}.items() <= listed.items()


def test_the_page_does_not_claim_a_listing() -> None:
    assert "Sparkplug Compatible" not in PAGE
    assert "implements the Sparkplug 3.0 edge node profile" in PAGE
