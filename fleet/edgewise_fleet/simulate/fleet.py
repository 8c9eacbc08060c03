"""A simulated fleet: one event loop, a real connection for each device, and who reports when."""

import asyncio
import heapq
import random
import resource
import signal
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from edgewise_fleet.broker_url import BrokerUrl, parse_broker_url
from edgewise_fleet.errors import BadSimulation, BrokerRefused
from edgewise_fleet.simulate import wire
from edgewise_fleet.simulate.board import World, is_cut, is_killed
from edgewise_fleet.simulate.connection import KEEPALIVE_S, Connection, open_connection
from edgewise_fleet.simulate.device import Outgoing, SimDevice
from edgewise_fleet.simulate.updating import Habits
from edgewise_messages import Channel, Command, DeviceAddress, MessageError, decode_notice
from edgewise_messages.topics import check_id

STEP_S = 0.5
"""How often updates and outages are looked at."""
RECONNECT_MIN_S, RECONNECT_MAX_S = 1.0, 30.0
SPARE_FILES = 64
SAY_EVERY_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """What was asked for."""

    broker: str = "mqtt://127.0.0.1:1883"
    devices: int = 100
    rate: float | None = None
    """Reports per second of the whole fleet; by default each device reports every ten seconds."""
    group: str = "sim"
    prefix: str = "sim-"
    connect_per_s: float = 500.0
    seconds: float | None = None
    key: Path | None = None
    """Public key whose commands stand-ins take."""
    world: World = field(default_factory=World)
    habits: Habits = field(default_factory=Habits)


class Totals(msgspec.Struct):
    """What a simulation did."""

    connected: int = 0
    connected_most: int = 0
    published: int = 0
    acknowledged: int = 0
    commands: int = 0
    lost_connections: int = 0
    given_up: int = 0
    """Messages that were dropped as the broker did not take them."""
    late_reports: int = 0
    """Reports that began more than a second after their time: this machine is too slow for the rate."""
    trouble: str = ""


def simulate(simulation: Simulation, say: Callable[[str], None]) -> Totals:
    """Until its time is over, or Ctrl-C. Raises BadSimulation, InvalidBrokerUrl, BrokerRefused."""
    _check(simulation)
    url = parse_broker_url(simulation.broker)
    keys = [_read_public_key(simulation.key)] if simulation.key else []
    return asyncio.run(_Fleet(simulation, url, keys, say).run())


class _Member:
    """A device and its connection."""

    __slots__ = ("attempts", "connection", "device", "fleet", "is_ready", "node", "waits_until_s")

    def __init__(self, fleet: "_Fleet", device: SimDevice, node: int) -> None:
        self.fleet = fleet
        self.node = node
        """Counts on with each loss; modulo the number of a cluster's nodes."""
        self.device = device
        self.connection: Connection | None = None
        self.is_ready = False
        self.attempts = 0
        self.waits_until_s = 0.0

    def on_ready(self) -> None:
        totals = self.fleet.totals
        totals.connected += 1
        totals.connected_most = max(totals.connected_most, totals.connected)
        self.is_ready, self.attempts = True, 0
        self.send(self.device.introduce())
        self.send(self.device.take_kept())

    def on_command(self, payload: bytes) -> None:
        self.fleet.totals.commands += 1
        with suppress(MessageError):
            self.send(self.device.obey(decode_notice(payload, Command), self.fleet.now_s()))

    def on_acknowledged(self) -> None:
        self.fleet.totals.acknowledged += 1

    def on_lost(self, reason: str) -> None:
        fleet = self.fleet
        if self.is_ready:
            fleet.totals.connected -= 1
            fleet.totals.lost_connections += not fleet.is_ending
        elif not fleet.is_ending:
            fleet.totals.trouble = reason
        self.is_ready, self.connection = False, None
        self.wait()

    def wait(self) -> None:
        """Full jitter: a fleet does not come back in step. The next attempt goes to a cluster's next node."""
        self.node += 1
        longest_s = min(RECONNECT_MAX_S, RECONNECT_MIN_S * 2**self.attempts)
        self.attempts = min(self.attempts + 1, 10)
        self.waits_until_s = self.fleet.now_s() + random.uniform(0.1, longest_s)

    def send(self, messages: Sequence[Outgoing]) -> None:
        for channel, payload, retain in messages:
            if self.connection is None:
                return
            self.fleet.totals.published += 1
            topic = self.device.address.topic(channel)
            self.fleet.totals.given_up += not self.connection.publish(topic, payload, retain=retain)


class _Fleet:
    def __init__(
        self,
        simulation: Simulation,
        url: BrokerUrl,
        keys: Sequence[Ed25519PublicKey],
        say: Callable[[str], None],
    ) -> None:
        self.totals = Totals()
        self.is_ending = False
        self._simulation = simulation
        self._url = url
        self._nodes = url.nodes
        self._say = say
        self._tls = ssl.create_default_context() if url.tls else None
        self._began = time.monotonic()
        self._members = [
            _Member(self, _make_device(simulation, index, keys), index) for index in range(simulation.devices)
        ]
        self._opening: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()

    def now_s(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began

    async def run(self) -> Totals:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)
        await self._connect_first()
        tasks = [
            asyncio.create_task(work()) for work in (self._connect_all, self._report, self._live, self._talk)
        ]
        ended = asyncio.create_task(self._stop.wait())
        done, _ = await asyncio.wait(
            [*tasks, ended], timeout=self._simulation.seconds, return_when=asyncio.FIRST_COMPLETED
        )
        for task in [*tasks, ended, *self._opening]:
            task.cancel()
        await asyncio.gather(*tasks, ended, *self._opening, return_exceptions=True)
        for task in done - {ended}:
            task.result()  # none of them ends but by an error
        await self._end()
        return self.totals

    async def _connect_first(self) -> None:
        """A broker that is not there is said at once."""
        member = self._members[0]
        trouble = await self._open(member)
        for _ in range(100):
            if trouble or member.is_ready or self.totals.trouble:
                break
            await asyncio.sleep(0.05)
        if not member.is_ready:
            raise BrokerRefused(
                f"broker {self._url}: {trouble or self.totals.trouble or 'no answer within 5 s'}"
            )

    async def _connect_all(self) -> None:
        """Whoever has no connection gets one, so many a second."""
        pause_s = 1 / self._simulation.connect_per_s
        while True:
            now_s, began = self.now_s(), time.monotonic()
            opened = 0
            for member in self._members:
                if member.connection is not None or now_s < member.waits_until_s:
                    continue
                if is_cut(self._simulation.world, member.device.index, now_s):
                    continue
                member.waits_until_s = now_s + RECONNECT_MAX_S
                task = asyncio.create_task(self._open_quietly(member))
                self._opening.add(task)
                task.add_done_callback(self._opening.discard)
                opened += 1
                ahead_s = opened * pause_s - (time.monotonic() - began)
                if ahead_s > 0.01:
                    await asyncio.sleep(ahead_s)
            await asyncio.sleep(0.2)

    async def _open_quietly(self, member: _Member) -> None:
        trouble = await self._open(member)
        if trouble:
            self.totals.trouble = trouble
            member.wait()

    async def _open(self, member: _Member) -> str:
        device, address = member.device, member.device.address
        now_s = self.now_s()
        node = self._nodes[member.node % len(self._nodes)]
        waiting = device.boot(now_s) if not device.is_booted else []
        greeting = wire.connect(
            f"edgewise-{address.group}-{address.device}",
            keepalive_s=KEEPALIVE_S,
            will=(address.topic(Channel.STATUS), device.will()),
            user=node.user,
            password=node.password,
        )

        def make() -> Connection:
            member.connection = Connection(member, greeting=greeting, topic=address.topic(Channel.COMMAND))
            return member.connection

        device.keep(waiting)
        trouble = await open_connection(make, node.host, node.port, tls=self._tls)
        if trouble:
            member.connection = None
        return trouble

    async def _report(self) -> None:
        """Each device at its own moment of the interval."""
        simulation = self._simulation
        interval_s = simulation.devices / (simulation.rate or simulation.devices / 10)
        begin_s = self.now_s()
        due = [
            (begin_s + interval_s * place / len(self._members), place) for place in range(len(self._members))
        ]
        heapq.heapify(due)
        while True:
            at_s, place = due[0]
            wait_s = at_s - self.now_s()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            elif place % 64 == 0:
                await asyncio.sleep(0)  # answers come in between
            member = self._members[place]
            if member.is_ready:
                self.totals.late_reports += wait_s < -1
                member.send(member.device.report(self.now_s()))
            heapq.heapreplace(due, (max(at_s + interval_s, self.now_s() - interval_s), place))

    async def _live(self) -> None:
        """Updates go on, networks fail, agents die."""
        world, before_s, pinged_s = self._simulation.world, self.now_s(), self.now_s()
        while True:
            await asyncio.sleep(STEP_S)
            now_s = self.now_s()
            is_ping = now_s - pinged_s > KEEPALIVE_S / 3
            pinged_s = now_s if is_ping else pinged_s
            for member in self._members:
                device = member.device
                if not member.is_ready or member.connection is None:
                    continue
                member.send(device.step(now_s))
                if is_ping:
                    member.connection.ping()
                if is_cut(world, device.index, now_s):
                    member.connection.cut("simulated outage")
                elif device.updating.must_crash or is_killed(world, device.index, before_s, now_s):
                    device.kill()
                    member.connection.cut("simulated kill")
                    member.waits_until_s = now_s + self._simulation.habits.restart_s
            before_s = now_s

    async def _talk(self) -> None:
        while True:
            await asyncio.sleep(SAY_EVERY_S)
            totals = self.totals
            trouble = f"; {totals.trouble}" if totals.trouble else ""
            self._say(
                f"{totals.connected} of {len(self._members)} connected, {totals.acknowledged} messages taken,"
                f" {totals.commands} commands, {totals.late_reports} reports late{trouble}"
            )
            totals.trouble = ""

    async def _end(self) -> None:
        self.is_ending = True
        for member in self._members:
            if member.connection is not None and member.is_ready:
                member.send([member.device.farewell()])
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and any(
            member.connection is not None and member.connection.unacknowledged for member in self._members
        ):
            await asyncio.sleep(0.05)
        for member in self._members:
            if member.connection is not None:
                member.connection.end()
        await asyncio.sleep(0.1)


def _make_device(simulation: Simulation, index: int, keys: Sequence[Ed25519PublicKey]) -> SimDevice:
    width = len(str(simulation.devices - 1))
    address = DeviceAddress(simulation.group, f"{simulation.prefix}{index:0{width}}")
    return SimDevice(address, index, simulation.world, simulation.habits, keys)


def _check(simulation: Simulation) -> None:
    if simulation.rate is not None and simulation.rate <= 0:
        raise BadSimulation(f"--rate {simulation.rate:g}: expected reports per second, more than 0")
    try:
        check_id(simulation.group, "group")
        check_id(f"{simulation.prefix}{simulation.devices}", "device")
    except ValueError as error:
        raise BadSimulation(str(error)) from error
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = simulation.devices + SPARE_FILES
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise BadSimulation(
            f"{simulation.devices} connections need {needed} open files, this shell allows {hard}:"
            f" raise it (ulimit -Hn), or start several with --prefix"
        )
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _read_public_key(path: Path) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise BadSimulation(f"{path}: {error.strerror}") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadSimulation(
            f"{path}: not a public key in PEM; name the .pub of `edgewise fleet make-key`"
        ) from error
    if not isinstance(key, Ed25519PublicKey):
        raise BadSimulation(f"{path}: got a {type(key).__name__}, expected an ed25519 key")
    return key


def say_to_stderr(text: str) -> None:
    """Progress is no result."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
