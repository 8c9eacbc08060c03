"""Commands as the fleet's owner gives them: made, signed, sent, and their responses awaited."""

import json
import secrets
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from edgewise_fleet.broker_url import parse_broker_url
from edgewise_fleet.errors import BadCommand, DeviceSilent
from edgewise_fleet.keys import read_key
from edgewise_fleet.mqtt import exchange
from edgewise_messages import (
    COMMANDS,
    Channel,
    Command,
    DeviceAddress,
    InvalidTopic,
    MessageError,
    Response,
    check_arguments,
    decode_notice,
    encode_notice,
    signed_bytes,
)

DEFAULT_GROUP = "default"
Value = str | int | float | bool | None


def make_command(
    name: str,
    arguments: Mapping[str, Value],
    *,
    address: DeviceAddress,
    key: Path | None = None,
    expires_s: float = 300.0,
    command_id: str | None = None,
) -> Command:
    """A command for one device, signed when a key is given. Raises BadCommand, KeyProblem."""
    kind = COMMANDS.get(name)
    if kind is None:
        raise BadCommand(f"unknown command {name!r}; known are {', '.join(COMMANDS)}")
    if kind.changes and key is None:
        raise BadCommand(f"{name} must be signed; name a private key with --key (`edgewise fleet make-key`)")
    now_ms = time.time_ns() // 1_000_000
    command = Command(
        id=command_id or secrets.token_hex(8),
        name=name,
        issued_ms=now_ms,
        expires_ms=now_ms + int(expires_s * 1000),
        arguments=dict(arguments),
    )
    wrong = check_arguments(command)
    if wrong:
        raise BadCommand(wrong)
    return sign(command, address, key) if key else command


def sign(command: Command, address: DeviceAddress, key: Path) -> Command:
    """The command with a signature for this device. Raises KeyProblem."""
    signature = read_key(key).sign(signed_bytes(command, address))
    return msgspec.structs.replace(command, signature=signature.hex())


def ask_device(command: Command, address: DeviceAddress, *, broker: str, timeout_s: float) -> Response:
    """Send it and wait. Raises BadCommand, BrokerRefused, InvalidBrokerUrl, DeviceSilent."""

    def is_answer(payload: bytes) -> bool:
        try:
            return decode_notice(payload, Response).id == command.id
        except MessageError:
            return False

    try:
        payload = encode_notice(command)
    except MessageError as error:
        raise BadCommand(str(error)) from error
    answer = exchange(
        parse_broker_url(broker),
        topic=address.topic(Channel.COMMAND),
        payload=payload,
        answers=address.topic(Channel.RESPONSE),
        is_answer=is_answer,
        timeout_s=timeout_s,
    )
    if answer is None:
        raise DeviceSilent(
            f"{address.group}/{address.device}: no response within {timeout_s:g} s; is it online? "
            f"To ask again without doing it twice: --id {command.id}"
        )
    return decode_notice(answer, Response)


def parse_address(text: str) -> DeviceAddress:
    """``device`` or ``group/device``. Raises BadCommand."""
    group, _, device = text.rpartition("/")
    try:
        return DeviceAddress(group or DEFAULT_GROUP, device)
    except InvalidTopic as error:
        raise BadCommand(f"{text!r}: {error}") from error


def parse_arguments(pairs: Iterable[str]) -> dict[str, Value]:
    """``key=value``: JSON's numbers, true, false and null are such, all else is text; ``@FILE`` is its text."""
    arguments: dict[str, Value] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise BadCommand(f"--arg {pair!r}: expected key=value")
        arguments[name] = _read_text(name, Path(text[1:])) if text.startswith("@") else _parse_value(text)
    return arguments


def said(response: Response, *, as_json: bool) -> str:
    """The response for people or for machines."""
    if as_json:
        return msgspec.json.encode(response).decode()
    return f"{response.outcome}: {response.message}"


def _parse_value(text: str) -> Value:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float | bool | None) else text


def _read_text(name: str, path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BadCommand(f"--arg {name}: {path}: {getattr(error, 'strerror', None) or error}") from error
