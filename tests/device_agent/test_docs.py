import re
from pathlib import Path

from msgspec import NODEFAULT
from msgspec.structs import fields

from edgewise_agent.config import SECTIONS

PAGE = (Path(__file__).parents[2] / "docs/agent.md").read_text()


def test_the_page_lists_every_setting_with_its_default() -> None:
    told = dict(re.findall(r"^\| `(\w+\.\w+)` \| (.+?) \|", PAGE, re.MULTILINE))
    for section, kind in SECTIONS.items():
        for field in fields(kind):
            shown = told.pop(f"{section}.{field.name}")
            if field.default is NODEFAULT:
                assert shown == "must be given"
            elif field.default is None:
                assert shown == "none"
            else:
                value = f'"{field.default}"' if isinstance(field.default, str) else str(field.default).lower()
                assert shown == f"`{value}`"
    assert told == {}


def test_the_page_tells_every_event_the_agent_sends() -> None:
    source = "".join(
        path.read_text() for path in (Path(__file__).parents[2] / "device_agent/edgewise_agent").glob("*.py")
    )
    sent = set(re.findall(r'(?:event|_failed)\(\s*"([\w.]+)"', source))
    assert len(sent) >= 7
    assert all(f"`{name}`" in PAGE for name in sent)
