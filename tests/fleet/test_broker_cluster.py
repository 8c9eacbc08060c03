"""A cluster of three real brokers whose nodes are killed under load: nothing that a device was told is lost."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from fleet.cluster_parts import NatsCluster, Node, RabbitCluster
from fleet.cluster_publishers import AgentDevice, PlainDevice, record
from fleet.real_parts import Server, wait_until

pytestmark = pytest.mark.long

MORE = 300
"""Records of each device that are acknowledged before the next thing happens."""
METRICS = len(record("", 1).metrics)

Cluster = RabbitCluster | NatsCluster
Device = PlainDevice | AgentDevice


@pytest.fixture(params=["rabbitmq quorum", "rabbitmq mirrored", "nats"])
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    made: Cluster = {
        "rabbitmq quorum": lambda folder: RabbitCluster(folder),
        "rabbitmq mirrored": lambda folder: RabbitCluster(folder, queue_type="classic"),
        "nats": NatsCluster,
    }[request.param](tmp_path / "cluster")
    try:
        made.start()
        yield made
    finally:
        made.remove()


def test_whatever_node_is_killed_each_acknowledged_record_is_in_the_store_once(
    cluster: Cluster, serve: Callable[..., Server], tmp_path: Path
) -> None:
    nodes = cluster.nodes
    server = serve(*brokers(nodes))
    holder = wait_until(cluster.holder, "the session has a place")
    server.end()
    # The session is at one node, its collector at another.
    others = [node for node in nodes if node is not holder]
    server = serve(*brokers([*others, holder]))
    devices = [*plain_devices(nodes), AgentDevice("agent", tmp_path, [node.url for node in nodes])]
    with ExitStack() as stack:
        for device in devices:
            device.start()
            stack.callback(device.stop)
        wait_for_more(devices)
        assert cluster.holder() is holder
        # Each is also the node of one of the devices.
        for what, find in (
            ("the one that holds the session", cluster.holder),
            ("the collector's", lambda: collectors_node(server, nodes)),
            ("that of neither", lambda: neither(cluster, server)),
        ):
            node = wait_until(find, f"{what} is known")
            node.kill()
            wait_for_more(devices)
            cluster.start_node(node)
            wait_until(cluster.is_whole, f"{node.name} has caught up")
            wait_for_more(devices)
    told = {(device.boot, seq) for device in devices for seq in device.acknowledged}
    wait_until(lambda: told <= stored(tmp_path), "every acknowledged record is in the store")
    server.end()
    check_once(tmp_path, told)


def brokers(nodes: Sequence[Node]) -> list[str]:
    return [word for node in nodes for word in ("--broker", node.url)]


def plain_devices(nodes: Sequence[Node]) -> list[PlainDevice]:
    """One that begins at each node."""
    places = [("127.0.0.1", node.port) for node in nodes]
    return [PlainDevice(f"plain{at}", places[at:] + places[:at]) for at in range(len(places))]


def wait_for_more(devices: Sequence[Device]) -> None:
    goals = {device.address: len(device.acknowledged) + MORE for device in devices}
    wait_until(
        lambda: all(len(device.acknowledged) >= goals[device.address] for device in devices),
        f"{MORE} more records of each device are acknowledged",
    )


def collectors_node(server: Server, nodes: Sequence[Node]) -> Node | None:
    """By the server's own open connections."""
    mine = {
        path.readlink().name for path in Path(f"/proc/{server.process.pid}/fd").iterdir() if path.is_symlink()
    }
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        port, state, inode = int(words[2].split(":")[1], 16), words[3], words[9]
        if state == "01" and f"socket:[{inode}]" in mine:
            for node in nodes:
                if node.port == port:
                    return node
    return None


def neither(cluster: Cluster, server: Server) -> Node | None:
    taken = (cluster.holder(), collectors_node(server, cluster.nodes))
    return next((node for node in cluster.nodes if node not in taken), None)


def stored(folder: Path) -> set[tuple[str, int]]:
    with sqlite3.connect(f"file:{folder}/fleet.db?mode=ro", uri=True) as store:
        found = set(store.execute("SELECT boot, seq FROM records JOIN boots ON boots.id = boot_id"))
    store.close()
    return found


def check_once(folder: Path, told: set[tuple[str, int]]) -> None:
    """Each record is in the table once with the values it was sent with, and so is each of its points."""
    with sqlite3.connect(f"file:{folder}/fleet.db?mode=ro", uri=True) as store:
        rows = store.execute("SELECT boot, seq FROM records JOIN boots ON boots.id = boot_id").fetchall()
        assert len(rows) == len(set(rows))
        assert told <= set(rows)
        points = store.execute(
            "SELECT device, metrics.name, at_ms, value FROM points JOIN devices ON devices.id = device_id"
            " JOIN metrics ON metrics.id = metric_id"
        ).fetchall()
        assert len(points) == METRICS * len(rows)
        expected = {
            (one.ts_ms, name): value
            for one in (record(boot, seq) for boot, seq in rows)
            for name, value in one.metrics.items()
        }
        assert all(expected[at_ms, name] == value for _, name, at_ms, value in points)
        (refused,) = store.execute("SELECT count(*) FROM quarantine").fetchone()
        assert refused == 0
    store.close()
