import pytest

from edgewise_messages import Channel, DeviceAddress, InvalidTopic, parse_topic, subscription
from edgewise_messages.topics import RECORD_CHANNELS, RETAINED, check_id

ADDRESS = DeviceAddress("green-house_2", "Cam1")


@pytest.mark.parametrize("channel", list(Channel))
def test_every_channel_of_a_device_parses_back(channel: Channel) -> None:
    assert parse_topic(ADDRESS.topic(channel)) == (ADDRESS, channel)


def test_topics_are_what_the_decision_record_says() -> None:
    assert ADDRESS.topic(Channel.TELEMETRY) == "edgewise/v1/green-house_2/Cam1/telemetry"
    assert subscription(Channel.EVENT) == "edgewise/v1/+/+/event"
    assert subscription(Channel.EVENT, group="g") == "edgewise/v1/g/+/event"
    assert subscription(Channel.COMMAND, group="g", device="d") == "edgewise/v1/g/d/command"


@pytest.mark.parametrize("bad", ["", "a b", "a/b", "+", "#", "ä", "x" * 65, "a\n", "a\0", "..", "$SYS"])
def test_ids_outside_the_scheme_are_refused(bad: str) -> None:
    with pytest.raises(InvalidTopic, match="expected 1 to 64"):
        check_id(bad, "device")
    with pytest.raises(InvalidTopic):
        DeviceAddress("g", bad)
    with pytest.raises(InvalidTopic):
        DeviceAddress(bad, "d")
    if bad != "+":
        with pytest.raises(InvalidTopic):
            subscription(Channel.STATUS, group=bad)


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "edgewise/v1/g/d",
        "edgewise/v1/g/d/status/more",
        "edgewise/v2/g/d/status",
        "other/v1/g/d/status",
        "edgewise/v1/g/d/smoke",
        "edgewise/v1//d/status",
        "edgewise/v1/+/d/status",
        "/edgewise/v1/g/d",
        "EDGEWISE/v1/g/d/status",
        "edgewise/v1/g/d/status\n",
    ],
)
def test_other_topics_are_refused(bad: str) -> None:
    with pytest.raises(InvalidTopic):
        parse_topic(bad)


def test_every_channel_is_a_record_channel_retained_or_a_conversation() -> None:
    assert RECORD_CHANNELS | RETAINED | {Channel.COMMAND, Channel.RESPONSE, Channel.STATE} == set(Channel)
    assert not RECORD_CHANNELS & RETAINED
