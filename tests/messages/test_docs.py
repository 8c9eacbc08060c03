import json
import re
from pathlib import Path

from edgewise_messages import decode_records

PAGE = (Path(__file__).parents[2] / "docs/messages.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_pages_python_runs() -> None:
    (code,) = blocks("python")
    exec(compile(code, "docs/messages.md", "exec"), {})


def test_the_pages_examples_are_valid_publishes() -> None:
    first, drift = blocks("json")
    assert [record.seq for record in decode_records(first.encode()).records] == [6, 7]
    assert json.loads(first)["records"][0]["type"] == "telemetry"
    names = [getattr(record, "name", "") for record in decode_records(drift.encode()).records]
    assert names == ["drift.started", "drift.ended"]
