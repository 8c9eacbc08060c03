"""The audit log: a chain that shows what was changed, on the disk before anything leaves."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edgewise_agent.errors import AuditError
from edgewise_agent.privacy import AuditLog, Head, read_audit, verify_audit
from edgewise_agent.privacy.audit import FIRST, NAME


def filled(folder: Path, count: int, *, max_bytes: int = 10**6) -> AuditLog:
    log = AuditLog(folder, max_bytes=max_bytes)
    for place in range(count):
        log.append({"to": "mqtts://a:8883", "place": place}, ts_ms=place)
    return log


def test_lines_follow_each_other_and_go_on_after_a_restart(tmp_path: Path) -> None:
    filled(tmp_path, 3)
    log = filled(tmp_path, 2)
    found = verify_audit(tmp_path)
    assert (found.lines, found.first_number, found.head, found.problems) == (5, 1, log.head, ())
    assert [line["n"] for line in read_audit(tmp_path)] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("place", [0, 2, 3])
def test_a_changed_or_removed_line_shows(tmp_path: Path, place: int) -> None:
    filled(tmp_path, 5)
    path = tmp_path / NAME
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(
        b"".join([*lines[:place], lines[place].replace(b"mqtts://a", b"mqtts://b"), *lines[place + 1 :]])
    )
    assert verify_audit(tmp_path).problems
    path.write_bytes(b"".join([*lines[:place], *lines[place + 1 :]]))
    found = verify_audit(tmp_path)
    assert found.problems or found.first_number == 2  # the first ones may have gone to make room


def test_lines_cut_off_at_the_end_show_against_a_head_known_elsewhere(tmp_path: Path) -> None:
    head = filled(tmp_path, 5).head
    path = tmp_path / NAME
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    assert verify_audit(tmp_path).problems == ()
    assert "number 5" in verify_audit(tmp_path, expected=head).problems[0]


def test_a_rewritten_log_shows_against_a_head_known_elsewhere(tmp_path: Path) -> None:
    head = filled(tmp_path / "a", 3).head
    log = AuditLog(tmp_path / "b", max_bytes=10**6)
    for place in range(4):
        log.append({"to": "elsewhere", "place": place}, ts_ms=place)
    assert verify_audit(tmp_path / "b", expected=head).problems
    assert not verify_audit(tmp_path / "a", expected=head).problems


def test_the_chain_goes_on_over_rotation_within_the_room(tmp_path: Path) -> None:
    filled(tmp_path, 600, max_bytes=40_000)
    found = verify_audit(tmp_path)
    assert found.problems == () and found.head.number == 600 and found.first_number > 1
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 40_000
    assert len(list(tmp_path.iterdir())) == 4
    assert filled(tmp_path, 1, max_bytes=40_000).head.number == 601


def test_every_cut_of_the_last_line_is_repaired(tmp_path: Path) -> None:
    filled(tmp_path / "a", 3)
    data = (tmp_path / "a" / NAME).read_bytes()
    last = data[: data.rstrip(b"\n").rfind(b"\n") + 1]
    for length in range(len(last), len(data), 7):
        folder = tmp_path / str(length)
        folder.mkdir()
        (folder / NAME).write_bytes(data[:length])
        assert filled(folder, 1).head.number == 3
        assert verify_audit(folder).problems == ()


def test_what_cannot_be_written_is_said_and_leaves_no_half_line(tmp_path: Path) -> None:
    program = f"""
import resource, signal
from pathlib import Path
from edgewise_agent.errors import AuditError
from edgewise_agent.privacy.audit import AuditLog
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log = AuditLog(Path({str(tmp_path)!r}), max_bytes=10**6)
log.append({{"to": "a"}}, ts_ms=1)
resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
try:
    log.append({{"to": "b" * 300}}, ts_ms=2)
except AuditError as error:
    print("refused", log.head.number)
"""
    outcome = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert outcome.stdout.split() == ["refused", "1"]
    assert verify_audit(tmp_path).lines == 1 and verify_audit(tmp_path).problems == ()


def test_a_folder_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AuditError, match=r"file/audit\.jsonl"):
        AuditLog(tmp_path / "file", max_bytes=10**6)


def test_lines_that_are_no_json_are_problems_and_no_crash(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    with (tmp_path / NAME).open("ab") as stream:
        stream.write(b"\xff\xfe nonsense\n" + b"[" * 5000 + b"\n" + b'"text"\n')
    assert len(verify_audit(tmp_path).problems) == 3
    assert len(list(read_audit(tmp_path))) == 2
    log = AuditLog(tmp_path, max_bytes=10**6)
    log.append({"to": "a"}, ts_ms=1)
    assert verify_audit(tmp_path).problems


def test_an_empty_log_has_the_head_of_none(tmp_path: Path) -> None:
    assert AuditLog(tmp_path, max_bytes=10**6).head == Head(0, FIRST) == verify_audit(tmp_path).head
    assert list(tmp_path.iterdir()) == []


def test_a_line_says_what_went_where(tmp_path: Path) -> None:
    filled(tmp_path, 1)
    assert json.loads((tmp_path / NAME).read_text()) == {
        "n": 1, "prev": FIRST, "ts_ms": 0, "to": "mqtts://a:8883", "place": 0
    }  # fmt: skip
