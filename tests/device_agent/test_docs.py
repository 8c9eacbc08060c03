import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo, fields

from edgewise_agent.settings.config import Settings
from edgewise_messages import COMMANDS

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [DOCS / "agent.md", *sorted((DOCS / "agent").glob("*.md"))]
TEXT = "".join(page.read_text() for page in PAGES)


def settings_of(kind: type[Struct], place: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every setting by its full name; a section with a name of the user's own is called NAME."""
    for field in fields(kind):
        inner: Any = field.type
        name = f"{place}{field.name}"
        if get_origin(inner) is dict:
            inner, name = get_args(inner)[1], f"{name}.NAME"
        if isinstance(inner, type) and issubclass(inner, Struct):
            yield from settings_of(inner, f"{name}.")
        elif name != "sha256":
            yield name, field


def shown(field: FieldInfo) -> str:
    """A default as the pages write it."""
    default = field.default if field.default_factory is NODEFAULT else field.default_factory()
    if default is NODEFAULT:
        return "must be given"
    if default is None or default in ((), {}):
        return "none"
    if isinstance(default, tuple):
        return f"`{json.dumps(default)}`"
    value = f'"{field.default}"' if isinstance(field.default, str) else str(field.default).lower()
    return f"`{value}`"


def test_the_pages_list_every_setting_with_its_default() -> None:
    told = dict(re.findall(r"^\| `((?:\w+\.)+\w+)` \| (.+?) \|", TEXT, re.MULTILINE))
    expected = {name: shown(field) for name, field in settings_of(Settings)}
    assert {name: told.get(name) for name in expected} == expected
    sections = {name.split(".")[0] for name in expected}
    assert {name for name in told if name.split(".")[0] in sections} == set(expected)


def test_the_pages_tell_every_event_the_agent_sends() -> None:
    sources = (DOCS.parent / "device_agent/edgewise_agent").rglob("*.py")
    sent = set(re.findall(r'(?:event|_failed)\(\s*"([\w.]+)"', "".join(path.read_text() for path in sources)))
    assert len(sent) >= 8
    assert {name for name in sent if f"`{name}`" not in TEXT} == set()


def test_every_page_of_the_agent_is_linked() -> None:
    for page in PAGES[1:]:
        assert f"(agent/{page.name})" in PAGES[0].read_text()


def test_the_chapter_on_updates_lists_every_event() -> None:
    source = (DOCS.parent / "device_agent/edgewise_agent/updates/model_updater.py").read_text()
    sent = set(re.findall(r'_tell\(\s*"([\w.-]+)"', source))
    page = (DOCS / "agent/updates.md").read_text()
    assert len(sent) >= 8
    assert {name for name in sent if f"`{name}`" not in page} == set()


def test_the_chapter_on_commands_lists_every_command_and_its_python_runs() -> None:
    page = (DOCS / "agent/commands.md").read_text()
    table = page.partition("| command |")[2].partition("\n\n")[0]
    for name, kind in COMMANDS.items():
        assert f"`{name}`" in table
        assert all(f"`{argument}`" in table for argument in kind.arguments)
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(code, "docs/agent/commands.md", "exec"), {})
