"""What mosquitto is told: who may connect, and that each device reaches its own topics only. Pure.

mosquitto takes %u in a pattern for the user's name, and lets no name with + or # in (so no pattern is opened by a
name). The name is ``group/device``, from the certificate or the password file, never from what the client says.
"""

from collections.abc import Mapping
from pathlib import Path

from edgewise_messages import Channel
from edgewise_messages.topics import PREFIX

FLEET_USER = "fleet"
READ = (Channel.COMMAND,)
WRITE = tuple(channel for channel in Channel if channel is not Channel.COMMAND)


def access_rules(fleet_user: str = FLEET_USER) -> str:
    """The ACL file."""
    lines = [
        "# Written by `edgewise fleet broker-config`. The fleet's server hears everything and gives commands.",
        f"user {fleet_user}",
        f"topic readwrite {PREFIX}/#",
        "",
        "# Each device: its own topics, by the name that it proved.",
        *(f"pattern write {PREFIX}/%u/{channel.value}" for channel in WRITE),
        *(f"pattern read {PREFIX}/%u/{channel.value}" for channel in READ),
    ]
    return "\n".join([*lines, ""])


def broker_configuration(
    files: Mapping[str, Path],
    *,
    port: int,
    password_port: int | None,
    fleet_port: int,
    host: str,
    user: str | None = None,
) -> str:
    """mosquitto.conf. ``files`` has acl, passwords, ca, crl, certificate, key and data."""
    tls = [f"certfile {files['certificate']}", f"keyfile {files['key']}", "tls_version tlsv1.2"]
    lines = [
        "# Written by `edgewise fleet broker-config`; mosquitto -c FILE. Reload after a revocation: kill -HUP.",
        "per_listener_settings true",
        "persistence true",
        f"persistence_location {files['data']}/",
        "max_queued_messages 0",
        "max_inflight_messages 1000",
        "max_packet_size 1048576",
        *([f"user {user}"] if user else []),
        "",
        "# Devices with certificates.",
        f"listener {port} {host}",
        f"cafile {files['ca']}",
        f"crlfile {files['crl']}",
        *tls,
        "require_certificate true",
        "use_identity_as_username true",
        "use_username_as_clientid true",
        f"acl_file {files['acl']}",
        "allow_anonymous false",
    ]
    if password_port is not None:
        lines += [
            "",
            "# Devices with passwords.",
            f"listener {password_port} {host}",
            *tls,
            f"password_file {files['passwords']}",
            "use_username_as_clientid true",
            f"acl_file {files['acl']}",
            "allow_anonymous false",
        ]
    lines += [
        "",
        "# The fleet's server, on this machine.",
        f"listener {fleet_port} 127.0.0.1",
        f"password_file {files['fleet_passwords']}",
        f"acl_file {files['acl']}",
        "allow_anonymous false",
    ]
    return "\n".join([*lines, ""])
