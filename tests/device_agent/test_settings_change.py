"""New settings from afar: checked, tried, kept or undone; and cut at every step."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgewise_agent.errors import InvalidSettings
from edgewise_agent.settings.change import STARTS, SettingsChange, load_on_trial
from edgewise_agent.settings.config import load_settings
from edgewise_agent.settings.working_copy import WorkingCopy, load_in_force

BEFORE = """\
# whose words these are
[device]
id = "cam-1"
state_dir = "state"

[pipelines.main]
model = "tiny.tflite"  # as it came
source = "photos"

[broker]
url = "mqtt://one:1883"

[commands]
keys = ["owner.pub"]
"""
CUT = 77
FEWEST_CUTS = 20


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "agent.toml"
    path.write_text(BEFORE)
    return path


def change_of(file: Path) -> SettingsChange:
    return SettingsChange(WorkingCopy(file, file.parent / "state"))


def copy_of(file: Path) -> Path:
    return file.parent / "state/settings/agent.toml"


def apply(file: Path, url: str = "mqtt://two:1883") -> bytes:
    change = change_of(file)
    data = change.propose({"broker.url": url})
    change.apply(data, connect_within_s=30.0)
    return data


def start(file: Path) -> tuple[SettingsChange, str]:
    """What an agent does at its start, and the broker it then talks to."""
    settings, change = load_on_trial(file)
    return change, str(settings.broker.url[0])


def test_a_change_keeps_comments_and_everything_else(file: Path) -> None:
    data = change_of(file).propose(
        {"broker.url": "mqtt://two:1883", "report.interval_s": 5, "pipelines.main.source": '["a", "b"]'}
    )
    text = data.decode()
    assert "# whose words these are" in text and "# as it came" in text
    file.write_bytes(data)
    settings = load_settings(file)
    assert (settings.broker.url[0].host, settings.report.interval_s) == ("two", 5.0)
    assert [str(Path(str(word)).name) for word in settings.pipelines["main"].source] == ["a", "b"]


def test_none_takes_a_key_out_so_that_its_default_holds(file: Path) -> None:
    file.write_text(BEFORE + "\n[report]\ninterval_s = 3.0\n")
    file.write_bytes(change_of(file).propose({"report.interval_s": None}))
    assert load_settings(file).report.interval_s == 10.0


def test_a_whole_file_can_be_given(file: Path) -> None:
    data = change_of(file).propose({}, toml=BEFORE.replace("one", "three"))
    assert b"mqtt://three:1883" in data


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"broker.url": "http://x"}, r"broker\.url: got"),
        ({"broker.ur": "mqtt://x"}, r"unknown key; did you mean 'url'"),
        ({"nothing.at_all": 1}, r"nothing: unknown section"),
        ({"report.interval_s": "soon"}, r"report\.interval_s: got 'soon', expected a number"),
        ({"pipelines.main.model": None}, r"pipelines\.main\.model: missing"),
        (
            {"commands.keys": '["evil.pub"]'},
            r"commands\.keys: protected: it can be changed on the device only",
        ),
        ({"commands.remote_settings": '["*"]'}, r"commands\.remote_settings: protected"),
        ({"device.state_dir": "elsewhere"}, r"device\.state_dir: protected: .* commands\.remote_settings"),
        ({"broker.url.x": 1}, r"cannot be changed"),
    ],
)
def test_what_is_wrong_or_protected_is_refused_and_nothing_is_touched(
    file: Path, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(InvalidSettings, match=said):
        change_of(file).propose(changes)
    assert os.listdir(file.parent) == ["agent.toml"]  # noqa: PTH208
    assert file.read_text() == BEFORE


def test_a_whole_file_cannot_change_what_is_protected_either(file: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"commands\.keys: protected"):
        change_of(file).propose({}, toml=BEFORE.replace("owner.pub", "evil.pub"))
    with pytest.raises(InvalidSettings, match=r"commands\.keys: protected"):
        change_of(file).propose({}, toml=BEFORE.partition("[commands]")[0])
    with pytest.raises(InvalidSettings, match=r"not TOML|cannot be changed"):
        change_of(file).propose({}, toml="[[[")


def test_the_device_may_allow_protected_settings_but_never_its_keys(file: Path) -> None:
    change = change_of(file)
    assert change.propose({"device.group": "b"}, allowed=("device.group",))
    with pytest.raises(InvalidSettings, match="on the device only"):
        change.propose({"commands.keys": '["evil.pub"]'}, allowed=("commands.*", "*"))


def test_settings_with_which_the_broker_is_reached_are_kept(file: Path) -> None:
    apply(file)
    change, url = start(file)
    assert url == "mqtt://two:1883"
    assert (change.is_on_trial, change.connect_within_s) == (True, 30.0)
    notice = change.confirm()
    assert notice is not None and notice.event == "settings.confirmed"
    again, url = start(file)
    assert (url, again.is_on_trial, again.confirm(), again.undo("x")) == (
        "mqtt://two:1883",
        False,
        None,
        False,
    )


def test_settings_with_which_it_is_not_are_undone_and_that_is_told_once(file: Path) -> None:
    apply(file)
    change, _ = start(file)
    assert change.undo("no broker within 30 s")
    again, url = start(file)
    assert url == "mqtt://one:1883"
    assert file.read_text() == BEFORE
    notice = again.take_notice()
    assert notice is not None
    assert (notice.event, notice.message) == (
        "settings.undone",
        "the settings before are back: no broker within 30 s",
    )
    assert start(file)[0].take_notice() is None


def test_settings_with_which_the_agent_keeps_ending_are_undone(file: Path) -> None:
    apply(file)
    urls = [start(file)[1] for _ in range(STARTS + 1)]
    assert urls == ["mqtt://two:1883"] * STARTS + ["mqtt://one:1883"]


def test_a_file_damaged_during_its_trial_is_undone_and_an_edited_one_kept(file: Path) -> None:
    apply(file)
    copy_of(file).write_bytes(b"\0" * 50)
    assert start(file)[1] == "mqtt://one:1883"
    apply(file)
    copy_of(file).write_text(BEFORE.replace("one", "edited"))
    change, url = start(file)
    assert (url, change.is_on_trial) == ("mqtt://edited:1883", False)


def test_whoever_edits_the_local_file_has_the_last_word(file: Path) -> None:
    for ending in ("on trial", "confirmed"):
        file.write_text(BEFORE)
        apply(file)
        change, url = start(file)
        assert url == "mqtt://two:1883"
        if ending == "confirmed":
            change.confirm()
            assert load_in_force(file).broker.url[0].host == "two"
        file.write_text(BEFORE.replace("one", "edited"))
        assert load_in_force(file).broker.url[0].host == "edited"
        change, url = start(file)
        assert (url, change.is_on_trial) == ("mqtt://edited:1883", False)
        notice = change.take_notice()
        assert notice is not None and notice.event == "settings.dropped"
        assert "agent.toml was edited since" in notice.message
        assert change.take_notice() is None and start(file)[0].take_notice() is None
        assert "mqtt://two:1883" in copy_of(file).with_name("agent.toml.dropped").read_text()


def test_the_local_file_and_its_folder_are_only_read(file: Path) -> None:
    """As under the unit that the agent installs, whose system is read-only."""
    apply(file)
    start(file)[0].confirm()
    data = change_of(file).propose({"report.interval_s": 5})
    change_of(file).apply(data, connect_within_s=1.0)
    start(file)[0].undo("no broker")
    assert start(file)[1] == "mqtt://two:1883"
    assert sorted(path.name for path in file.parent.iterdir()) == ["agent.toml", "state"]
    assert file.read_text() == BEFORE


def test_a_start_without_changes_touches_no_file(file: Path) -> None:
    start(file)
    assert [path.name for path in file.parent.iterdir()] == ["agent.toml"]


def test_a_copy_that_was_damaged_later_gives_way_to_the_local_file(file: Path) -> None:
    apply(file)
    start(file)[0].confirm()
    copy_of(file).write_bytes(b"\0" * 50)
    change, url = start(file)
    assert url == "mqtt://one:1883"
    notice = change.take_notice()
    assert notice is not None and "not TOML" in notice.message


def test_relative_paths_of_changed_settings_start_where_the_local_file_is(file: Path) -> None:
    apply(file)
    assert load_in_force(file).pipelines["main"].model == file.parent / "tiny.tflite"


def test_a_state_folder_that_is_a_file_is_told(file: Path) -> None:
    (file.parent / "state").write_text("no folder")
    start(file)
    with pytest.raises(OSError):
        apply(file)
    assert file.read_text() == BEFORE


def test_a_second_change_waits_for_the_first(file: Path) -> None:
    apply(file)
    with pytest.raises(InvalidSettings, match="on trial"):
        apply(file, "mqtt://three:1883")
    with pytest.raises(InvalidSettings, match="they are what it has"):
        start(file)[0].confirm()
        apply(file)


def test_a_folder_that_cannot_be_written_leaves_the_old_settings(file: Path) -> None:
    change = change_of(file)
    data = change.propose({"broker.url": "mqtt://two:1883"})
    copy_of(file).with_name("agent.toml.trial").mkdir(parents=True)
    with pytest.raises(OSError):
        change.apply(data, connect_within_s=1.0)
    assert file.read_text() == BEFORE


def cut_in_child(folder: Path, work: Callable[[], object], step: int) -> bool:
    """Whether the work was cut before its ``step``-th operation on a file."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == CUT
    count = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event in ("open", "os.rename", "os.remove") and str(arguments[0]).startswith(str(folder)):
            count += 1
            if count == step:
                os._exit(CUT)

    sys.addaudithook(hook)
    try:
        work()
    finally:
        os._exit(0)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # the child does its work and ends at once
@pytest.mark.parametrize("ending", ["confirm", "undo"])
def test_whatever_is_cut_the_next_start_has_settings_that_work(file: Path, ending: str) -> None:
    """Apply, start, confirm or undo, start again: cut before each operation on a file, then started."""

    def work() -> None:
        apply(file)
        change, _ = start(file)
        if ending == "confirm":
            change.confirm()
        else:
            change.undo("no broker")
        change, _ = start(file)
        change.take_notice()

    cuts = 0
    for step in range(1, 200):
        shutil.rmtree(file.parent / "state", ignore_errors=True)
        file.write_text(BEFORE)
        if not cut_in_child(file.parent, work, step):
            break
        cuts += 1
        change, url = start(file)
        assert url in ("mqtt://one:1883", "mqtt://two:1883")
        if change.is_on_trial:
            change.undo("no broker")
            _, url = start(file)
            assert url == "mqtt://one:1883"
        assert not list(file.parent.rglob(".*.part"))
    assert cuts >= FEWEST_CUTS
