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


def test_the_pages_example_is_a_valid_publish() -> None:
    (example,) = blocks("json")
    batch = decode_records(example.encode())
    assert [record.seq for record in batch.records] == [6, 7]
    assert json.loads(example)["records"][0]["type"] == "telemetry"
