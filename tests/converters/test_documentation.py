"""What docs/converter.md says is so."""

import re
from pathlib import Path

import pytest

from edgewise_converters.lower import LOWERERS
from edgewise_converters.targets import target_names
from edgewise_converters.verify import GATES_DB

PAGE = (Path(__file__).parents[2] / "docs" / "converter.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return PAGE.split(f"## {title}")[1].split("\n## ")[0]


def test_every_operator_on_the_page_has_a_lowering() -> None:
    rows = re.findall(r"^\| [a-z ]+ \| ([A-Z].*) \|$", section("Operators"), re.MULTILINE)
    named = {name for row in rows if not row.startswith("ONNX") for name in row.split()}
    assert len(named) > 80
    assert sorted(named - set(LOWERERS)) == []


@pytest.mark.parametrize("precision", GATES_DB)
def test_gates_on_the_page_are_those_of_the_code(precision: str) -> None:
    assert f"| `{precision}` | {GATES_DB[precision]:.0f} dB |" in section("What verification proves")


def test_every_target_is_on_the_page() -> None:
    assert all(f"`{name}`" in section("Options") for name in target_names())
