"""docs/agent/rules.md, privacy.md and offload.md: their settings are the settings, their examples work."""

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
from msgspec import NODEFAULT
from msgspec.structs import fields

from edgewise_agent.offload import OffloadServerSettings, OffloadSettings, offload_problems
from edgewise_agent.privacy import PrivacySettings, privacy_problems
from edgewise_agent.rules import RuleSet, RuleSettings, RulesSettings
from edgewise_agent.rules.vocabulary import WORDS
from edgewise_agent.snapshots import SnapshotSettings

FOLDER = Path(__file__).parents[2] / "docs/agent"


def page(name: str) -> str:
    return (FOLDER / name).read_text()


def example(name: str) -> dict[str, Any]:
    (block,) = re.findall(r"```toml\n(.*?)```", page(name), re.DOTALL)
    return tomllib.loads(block)


def as_path(kind: type, value: Any) -> Any:
    return Path(value)


def shown(value: Any) -> str:
    if value is None:
        return "none"
    text = msgspec.json.encode(value).decode().replace(",", ", ")
    return f"`{text}`"


def test_every_setting_of_a_rule_stands_on_its_page() -> None:
    told = dict(re.findall(r"^\| `(\w+)` \| (.+?) \| [^|]*\|$", page("rules.md"), re.MULTILINE))
    for field in fields(RuleSettings):
        if field.name not in ("clear_when", "window"):
            expected = "must be given" if field.default is NODEFAULT else shown(field.default)
            assert told[field.name] == expected


def test_every_word_of_expressions_stands_on_its_page() -> None:
    for word in WORDS:
        assert re.search(
            rf"^\| `{word.name}` \| .* \| {re.escape(word.meaning)} \|$", page("rules.md"), re.MULTILINE
        )


def test_the_rules_of_the_example_are_sound() -> None:
    settings = msgspec.convert(example("rules.md")["pipelines"]["main"]["rules"], RulesSettings)
    assert len(settings.rule) == 4
    RuleSet(settings, kind="detections", labels=("person", "dog"))


def test_the_privacy_of_the_example_is_sound() -> None:
    document = example("privacy.md")
    msgspec.convert(document["snapshots"], SnapshotSettings)
    privacy = msgspec.convert(document["privacy"], PrivacySettings, dec_hook=as_path)
    assert privacy_problems(privacy, broker_urls=["mqtts://fleet.example:8883"]) == []


def test_the_offload_of_the_example_is_sound() -> None:
    offload = msgspec.convert(example("offload.md")["offload"], OffloadSettings, dec_hook=as_path)
    assert offload_problems(offload) == []
    assert {field.name for field in fields(OffloadServerSettings)} == {"url", "region"}
