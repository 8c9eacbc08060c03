import re
from pathlib import Path

from msgspec import NODEFAULT
from msgspec.structs import fields

from edgewise_agent.config import SECTIONS
from edgewise_agent.updates.settings import UpdateSettings
from edgewise_messages import COMMANDS

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


def test_the_chapter_on_updates_lists_every_setting_and_event() -> None:
    page = (Path(__file__).parents[2] / "docs/agent/updates.md").read_text()
    told = dict(re.findall(r"^\| `updates\.(\w+)` \| (.+?) \|", page, re.MULTILINE))
    for field in fields(UpdateSettings):
        default = field.default
        value = f'"{default}"' if isinstance(default, str) else str(default).lower()
        assert told.pop(field.name) == ("none" if default is None else f"`{value}`")
    assert told == {}
    source = (Path(__file__).parents[2] / "device_agent/edgewise_agent/updates/manager.py").read_text()
    sent = set(re.findall(r'_tell\(\s*"([\w.-]+)"', source))
    assert len(sent) >= 8
    assert all(f"`{name}`" in page for name in sent)


def test_the_chapter_on_commands_lists_every_command_and_its_python_runs() -> None:
    page = (Path(__file__).parents[2] / "docs/agent/commands.md").read_text()
    table = page.partition("| command |")[2].partition("\n\n")[0]
    for name, kind in COMMANDS.items():
        assert f"`{name}`" in table
        assert all(f"`{argument}`" in table for argument in kind.arguments)
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(code, "docs/agent/commands.md", "exec"), {})
