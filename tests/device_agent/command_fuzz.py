"""Malformed, forged and repeated commands into a real desk: none may be done, none may end it."""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from device_agent.agent_parts import ADDRESS

from edgewise_agent.clock import SystemClock
from edgewise_agent.commands.desk import CommandDesk
from edgewise_agent.commands.guard import CommandGuard
from edgewise_agent.commands.settings import CommandSettings
from edgewise_fleet.commanding import make_command, sign
from edgewise_fleet.keys import make_key
from edgewise_messages import (
    COMMANDS,
    Command,
    DeviceAddress,
    Format,
    MessageError,
    decode_notice,
    encode_notice,
)

ARGUMENTS = {
    "set-model": {"target": "models/door.tflite", "again": True},
    "set-settings": {"report.interval_s": 5.0},
    "log-level": {"level": "debug"},
    "erase": {},
}  # fmt: skip
VALUES = (
    None,
    True,
    -1,
    2**63,
    2**64,
    1e308,
    1e999,
    "",
    "x" * 5000,
    "\0",
    "\ud800",
    [],
    [[]],
    {},
    {"a": {}},
    0.5,
)


@dataclass
class Fuzzed:
    """What came of it."""

    by_kind: Counter[str] = field(default_factory=Counter)
    done: list[str] = field(default_factory=list)
    """Actions that ran after the genuine commands had."""
    accepted: list[bytes] = field(default_factory=list)
    """Messages answered with "done" that are no repeat of a genuine command."""
    unanswered: int = 0


def fuzz(folder: Path, *, count: int, seed: int) -> Fuzzed:
    """Do each genuine command once, then ``count`` messages of which none is genuine and new."""
    chance = random.Random(seed)
    fuzzed = Fuzzed()
    public, stranger = make_key(folder / "owner"), folder / "stranger"
    make_key(stranger)

    def act(command: Command) -> str:
        fuzzed.done.append(command.id)
        return "done"

    clock = SystemClock()
    guard = CommandGuard(
        CommandSettings(keys=(public,)), address=ADDRESS, memory_file=folder / "commands.json", clock=clock
    )
    names = [name for name, kind in COMMANDS.items() if kind.changes]
    desk = CommandDesk(
        dict.fromkeys(names, act), parse=lambda data: decode_notice(data, Command), clock=clock, guard=guard
    )
    genuine = [
        make_command(name, ARGUMENTS.get(name, {}), address=ADDRESS, key=folder / "owner", expires_s=3600)
        for name in names
    ]
    for command in genuine:
        desk.handle(encode_notice(command), retained=False)
    assert len(fuzzed.done) == len(genuine), "the genuine ones are done"
    fuzzed.done.clear()
    for kind, payload in _messages(genuine, chance, stranger, count):
        fuzzed.by_kind[kind] += 1
        response = desk.handle(payload, retained=chance.random() < 0.02)
        if response is None:
            fuzzed.unanswered += 1
        elif response.outcome == "done" and not _is_genuine(payload, genuine):
            fuzzed.accepted.append(payload)
    return fuzzed


def _is_genuine(payload: bytes, genuine: list[Command]) -> bool:
    try:
        return decode_notice(payload, Command) in genuine
    except MessageError:
        return False


def _messages(
    genuine: list[Command], chance: random.Random, stranger: Path, count: int
) -> Iterator[tuple[str, bytes]]:
    encoded = [encode_notice(command, form) for command in genuine for form in (Format.JSON, Format.MSGPACK)]
    forged = [
        encode_notice(sign(command, DeviceAddress("test", "cam-2"), stranger.with_name("owner")))
        for command in genuine
    ] + [encode_notice(sign(command, ADDRESS, stranger)) for command in genuine]
    kinds: dict[str, Callable[[], bytes]] = {
        "bytes changed": lambda: _mutate(chance.choice(encoded), chance),
        "fields changed": lambda: _change_field(chance.choice(genuine), chance),
        "random JSON": lambda: _random_json(chance),
        "random MessagePack": lambda: msgspec.msgpack.encode(_value(chance, 4)),
        "noise": lambda: chance.randbytes(chance.randrange(200)),
        "nested": lambda: _nested(chance),
        "repeats": lambda: chance.choice(encoded),
        "wrong signature": lambda: chance.choice(forged),
    }
    names = list(kinds)
    weights = [30, 25, 10, 10, 8, 1, 8, 8]
    for kind in chance.choices(names, weights, k=count):
        yield kind, kinds[kind]()


def _mutate(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 5, 20))):
        at = chance.randrange(len(changed)) if changed else 0
        match chance.randrange(5):
            case 0:
                changed[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                changed[at:at] = chance.randbytes(chance.randrange(1, 9))
            case 2:
                del changed[at : at + chance.randrange(1, 30)]
            case 3:
                del changed[at:]
            case _:
                changed[at:at] = changed[: chance.randrange(50)]
    return bytes(changed)


def _change_field(command: Command, chance: random.Random) -> bytes:
    document = json.loads(encode_notice(command))
    for _ in range(chance.choice((1, 1, 2, 3))):
        name = chance.choice(["id", "name", "issued_ms", "expires_ms", "arguments", "signature", "version"])
        match chance.randrange(4):
            case 0:
                document.pop(name, None)
            case 1:
                document[name] = chance.choice(VALUES)
            case 2 if name in ("issued_ms", "expires_ms", "version"):
                document[name] = chance.randrange(2**64)
            case _ if name == "arguments":
                document[name] = {chance.choice(("target", "broker.url", "")): chance.choice(VALUES)}
            case _:
                document[name] = f"{chance.choice(list(COMMANDS))}-{chance.randrange(10**6)}"
    if document == json.loads(encode_notice(command)):
        document["id"] = "another"
    return json.dumps(document).encode("utf-8", "surrogatepass")


def _random_json(chance: random.Random) -> bytes:
    return json.dumps(_value(chance, 5)).encode("utf-8", "surrogatepass")


def _value(chance: random.Random, depth: int) -> object:
    if depth == 0 or chance.random() < 0.3:
        return chance.choice((None, True, False, chance.randrange(-(2**63), 2**63), chance.random(), "text"))
    if chance.random() < 0.4:
        return [_value(chance, depth - 1) for _ in range(chance.randrange(5))]
    keys = ["id", "name", "issued_ms", "expires_ms", "arguments", "signature", "version", "x"]
    return {key: _value(chance, depth - 1) for key in chance.sample(keys, chance.randrange(len(keys)))}


def _nested(chance: random.Random) -> bytes:
    depth = chance.choice((100, 1_000, 10_000, 100_000, 130_000, 300_000))
    opened = chance.choice(
        (b"[", b'{"arguments":', b"\x91", b"\x81\xa1a", b'{"a":[', b"\xdd\xff\xff\xff\xff")
    )
    return (opened * depth)[:300_000]
