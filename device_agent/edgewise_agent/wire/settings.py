"""Settings of the wire profiles."""

from typing import Annotated

from msgspec import Meta, Struct

TopicPrefix = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*\Z",
        max_length=128,
        description="levels of A-Z a-z 0-9 _ - with / between them",
    ),
]
HostId = Annotated[str, Meta(pattern=r"^[^+#/]{0,128}\Z", description="an id without + # /")]


class SparkplugSettings(Struct, frozen=True, kw_only=True):
    """[sparkplug]: only with report.profile = "sparkplug"."""

    primary_host: HostId = ""
    """The host application whose STATE must be online before anything is sent; empty waits for none."""
    rebirth_min_s: Annotated[float, Meta(ge=0.0, le=3600.0)] = 5.0
    """Shortest time between two births that a host asked for."""


class HomeAssistantSettings(Struct, frozen=True, kw_only=True):
    """[home_assistant]: discovery beside the profile."""

    enabled: bool = False
    """Make the device appear in Home Assistant; when switched off again it is removed there."""
    prefix: TopicPrefix = "homeassistant"
    """The discovery prefix that Home Assistant is set to."""
