import subprocess
from pathlib import Path

import pytest

from edgewise_agent.clock import SystemClock, kernel_says_synchronized
from edgewise_messages import Clock


@pytest.fixture
def unsynced() -> None:
    if kernel_says_synchronized():
        pytest.skip("this machine's clock is synchronized by its kernel")


def test_times_are_those_of_the_system(tmp_path: Path) -> None:
    clock = SystemClock(tmp_path)
    before = int(subprocess.check_output(["date", "+%s%3N"]))
    now = clock.now_ms()
    after = int(subprocess.check_output(["date", "+%s%3N"]))
    assert before <= now <= after
    assert clock.mono_ns() <= clock.mono_ns()


def test_timesyncd_says_ntp(tmp_path: Path) -> None:
    flag = tmp_path / "run/systemd/timesync/synchronized"
    flag.parent.mkdir(parents=True)
    flag.touch()
    assert SystemClock(tmp_path).state() is Clock.NTP


@pytest.mark.usefixtures("unsynced")
def test_a_clock_set_from_hardware_is_rtc(tmp_path: Path) -> None:
    for name, flag in (("rtc0", "0\n"), ("rtc1", "1\n")):
        folder = tmp_path / "sys/class/rtc" / name
        folder.mkdir(parents=True)
        (folder / "hctosys").write_text(flag)
    assert SystemClock(tmp_path).state() is Clock.RTC


@pytest.mark.usefixtures("unsynced")
def test_a_clock_nobody_set_is_unsynced(tmp_path: Path) -> None:
    assert SystemClock(tmp_path).state() is Clock.UNSYNCED
