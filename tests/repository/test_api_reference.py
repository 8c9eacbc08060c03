"""The SDK's reference is what its docstrings say, its links lead somewhere, and nothing public is left unsaid."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "api.md"


def test_the_reference_is_up_to_date_and_everything_public_has_a_docstring() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "api_reference.py"), "--check"]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr


def test_every_link_of_the_reference_leads_to_a_heading() -> None:
    text = PAGE.read_text()
    anchors: list[str] = []
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        anchor = re.sub(r"[^a-z0-9_ -]", "", heading.lower()).replace(" ", "-")
        anchors.append(f"{anchor}-{anchors.count(anchor)}" if anchor in anchors else anchor)
    links = re.findall(r"\]\(#([^)]*)\)", text)
    assert len(links) > 50
    assert set(links) <= set(anchors)


def test_no_address_of_this_process_is_in_the_reference() -> None:
    assert not re.search(r" at 0x[0-9a-f]+|/home/|/tmp/", PAGE.read_text())
