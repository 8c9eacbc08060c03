"""What is refused before anything is sent; real exchanges with an agent are in tests/device_agent."""

from pathlib import Path

import pytest

from edgewise_fleet.commanding import ask_device, make_command, parse_address, parse_arguments
from edgewise_fleet.errors import BadCommand, BrokerRefused
from edgewise_fleet.keys import make_key
from edgewise_messages import DeviceAddress

ADDRESS = DeviceAddress("default", "cam-1")


def test_arguments_are_read_as_json_where_they_are_and_from_files(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("x = 1\n")
    given = [
        "a=1",
        "b=1.5",
        "c=true",
        "d=null",
        "e=models/x.tflite",
        "f=",
        "g=[1]",
        f"toml=@{tmp_path}/a.toml",
    ]
    assert parse_arguments(given) == {
        "a": 1, "b": 1.5, "c": True, "d": None, "e": "models/x.tflite", "f": "", "g": "[1]", "toml": "x = 1\n",
    }  # fmt: skip


@pytest.mark.parametrize("pair", ["novalue", "=x", "toml=@/nowhere/at/all"])
def test_arguments_that_are_none_are_said(pair: str) -> None:
    with pytest.raises(BadCommand, match="--arg"):
        parse_arguments([pair])


def test_addresses_have_a_group_or_the_default_one() -> None:
    assert parse_address("cam-1") == ADDRESS
    assert parse_address("shop/cam-1") == DeviceAddress("shop", "cam-1")
    with pytest.raises(BadCommand, match="expected 1 to 64"):
        parse_address("a b")


def test_a_command_that_no_device_would_take_is_not_made(tmp_path: Path) -> None:
    make_key(tmp_path / "key")
    with pytest.raises(BadCommand, match=r"unknown command 'dance'; known are report-now, stop"):
        make_command("dance", {}, address=ADDRESS)
    with pytest.raises(BadCommand, match="stop must be signed"):
        make_command("stop", {}, address=ADDRESS)
    with pytest.raises(BadCommand, match="'target' is missing"):
        make_command("set-model", {}, address=ADDRESS, key=tmp_path / "key")
    assert make_command("report-now", {}, address=ADDRESS).signature == ""
    assert len(make_command("stop", {}, address=ADDRESS, key=tmp_path / "key").signature) == 128


def test_a_broker_that_is_not_there_is_said() -> None:
    with pytest.raises(BrokerRefused, match=r"127\.0\.0\.1:1"):
        ask_device(
            make_command("report-now", {}, address=ADDRESS), ADDRESS, broker="mqtt://127.0.0.1:1", timeout_s=1
        )
