"""Real clusters of three brokers on 127.0.0.1: RabbitMQ and NATS as Debian packages them."""

import json
import os
import re
import signal
import socket
import subprocess
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleet.real_parts import unused_port, wait_until

NODES = 3
RABBIT = Path("/usr/lib/rabbitmq/bin")
SESSION = "mqtt-subscription-edgewise-fleet-"
"""How the name of the fleet's queue begins."""


@dataclass
class Node:
    """One broker of a cluster."""

    name: str
    folder: Path
    port: int = field(default_factory=unused_port)
    """MQTT."""
    inner_port: int = field(default_factory=unused_port)
    """Between the nodes."""
    own_port: int = field(default_factory=unused_port)
    """Of the broker's own protocol."""
    watch_port: int = field(default_factory=unused_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def run(self, command: list[str], environment: dict[str, str]) -> None:
        """In a group of its own, so that what it starts can be ended with it."""
        with (self.folder / "output").open("ab") as output:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**os.environ, **environment},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        wait_until(self.answers, f"{self.name} answers")

    def kill(self) -> None:
        """Without a word to anybody."""
        if self.process is None:
            return
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self.process.stdin:
            self.process.stdin.close()
        self.process = None

    def answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True


class RabbitCluster:
    """RabbitMQ with its MQTT plug-in."""

    def __init__(self, folder: Path, *, queue_type: str = "quorum", mirrored: bool = True) -> None:
        """``queue_type``: of persistent sessions, "quorum" or "classic"; ``mirrored``: the classic ones, by policy.

        Devices' own sessions, in which they hear commands, are classic ones always.
        """
        folder.mkdir()
        self.nodes = [Node(f"edgewise{number}", folder / f"node{number}") for number in range(NODES)]
        self._folder = folder
        self._queue_type = queue_type
        self._mirrored = mirrored
        self._names_port = unused_port()
        self._names: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        # Erlang's name server, which a node would otherwise start and leave running.
        self._names = subprocess.Popen(["epmd", "-port", str(self._names_port), "-address", "127.0.0.1"])
        (self._folder / "environment").write_text("")
        cookie = self._folder / ".erlang.cookie"
        cookie.write_text("edgewise")
        cookie.chmod(0o400)
        for node in self.nodes:
            node.folder.mkdir()
            self._configure(node)
            # One after the other: nodes that start together may each begin a register of sessions of their own.
            self.start_node(node)
        if self._mirrored:
            wish = json.dumps({"ha-mode": "all", "ha-sync-mode": "automatic"})
            self._control("set_policy", "sessions", "^mqtt-subscription-", wish, "--apply-to", "queues")

    def start_node(self, node: Node) -> None:
        node.run([str(RABBIT / "rabbitmq-server")], self._environment(node))
        self._control("await_startup", at=node)

    def holder(self) -> Node | None:
        """The node that leads the queue of the fleet's session."""
        said = self._control(
            "eval", "[{amqqueue:get_name(Q), amqqueue:qnode(Q)} || Q <- rabbit_amqqueue:list()]."
        )
        found = re.search(rf'"{SESSION}[^"]*">>}},\s*(\w+)@localhost', said)
        return next((node for node in self.nodes if found and node.name == found[1]), None)

    def is_whole(self) -> bool:
        """Whether each node holds all of the queue."""
        if self._queue_type == "classic":
            if not self._mirrored:
                return True
            return all(len(copies or ()) == NODES - 1 for copies in self._sessions("synchronised_slave_pids"))
        return all(len(copies) == NODES for copies in self._sessions("online"))

    def _sessions(self, column: str) -> list[Any]:
        said = self._control("list_queues", "name", column, "--formatter", "json", "--silent")
        return [queue[column] for queue in json.loads(said) if queue["name"].startswith(SESSION)]

    def remove(self) -> None:
        for node in self.nodes:
            node.kill()
        if self._names is not None:
            self._names.kill()
            self._names.wait()

    def _configure(self, node: Node) -> None:
        lines = [
            f"listeners.tcp.1 = 127.0.0.1:{node.own_port}",
            f"mqtt.listeners.tcp.1 = 127.0.0.1:{node.port}",
            "cluster_formation.peer_discovery_backend = classic_config",
            *(
                f"cluster_formation.classic_config.nodes.{number} = {one.name}@localhost"
                for number, one in enumerate(self.nodes, 1)
            ),
            f"mqtt.durable_queue_type = {self._queue_type}",
            "mqtt.prefetch = 1000",
            "mqtt.subscription_ttl = 2592000000",
            "vm_memory_high_watermark.absolute = 1GB",
            "disk_free_limit.absolute = 50MB",
        ]
        (node.folder / "rabbitmq.conf").write_text("\n".join(lines) + "\n")
        (node.folder / "plugins").write_text("[rabbitmq_mqtt].\n")

    def _environment(self, node: Node) -> dict[str, str]:
        return {
            "HOME": str(self._folder),
            "ERL_EPMD_PORT": str(self._names_port),
            "RABBITMQ_CONF_ENV_FILE": str(self._folder / "environment"),
            "RABBITMQ_NODENAME": f"{node.name}@localhost",
            "RABBITMQ_CONFIG_FILE": str(node.folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(node.folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(node.folder / "data"),
            "RABBITMQ_LOG_BASE": str(node.folder / "log"),
            "RABBITMQ_LOGS": str(node.folder / "log" / "node.log"),
            "RABBITMQ_DIST_PORT": str(node.inner_port),
            # The program itself in place of a shell that would outlive it.
            "RABBITMQ_ALLOW_INPUT": "1",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none",
        }

    def _control(self, *words: str, at: Node | None = None) -> str:
        node = at or next(one for one in self.nodes if one.process is not None)
        done = subprocess.run(
            [RABBIT / "rabbitmqctl", "-n", f"{node.name}@localhost", *words],
            env={**os.environ, **self._environment(node)}, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


class NatsCluster:
    """NATS with JetStream, which holds its MQTT sessions."""

    def __init__(self, folder: Path, *, replicas: int = NODES) -> None:
        folder.mkdir()
        self.nodes = [Node(f"edgewise{number}", folder / f"node{number}") for number in range(NODES)]
        self._folder = folder
        self._replicas = replicas

    def start(self) -> None:
        for node in self.nodes:
            node.folder.mkdir()
            self._configure(node)
        for node in self.nodes:
            self.start_node(node)
        wait_until(lambda: self._leaders() is not None, "the nodes have a leader")

    def start_node(self, node: Node) -> None:
        node.run(["nats-server", "-c", str(node.folder / "nats.conf")], {})

    def holder(self) -> Node | None:
        """The node that leads the stream of messages."""
        stream = (self._leaders() or {}).get("$MQTT_msgs", {})
        leader = stream.get("cluster", {}).get("leader")
        return next((node for node in self.nodes if node.name == leader), None)

    def is_whole(self) -> bool:
        """Whether each node holds all of every stream."""
        streams = self._leaders() or {}
        return all(
            all(copy["current"] for copy in one["cluster"].get("replicas", ())) for one in streams.values()
        )

    def remove(self) -> None:
        for node in self.nodes:
            node.kill()

    def _configure(self, node: Node) -> None:
        routes = ", ".join(f'"nats-route://127.0.0.1:{one.inner_port}"' for one in self.nodes)
        (node.folder / "nats.conf").write_text(f"""
server_name: {node.name}
listen: "127.0.0.1:{node.own_port}"
http: "127.0.0.1:{node.watch_port}"
log_file: "{node.folder}/node.log"
jetstream {{ store_dir: "{node.folder}/data", max_memory_store: 64M, max_file_store: 1G }}
cluster {{ name: edgewise, listen: "127.0.0.1:{node.inner_port}", routes: [{routes}] }}
mqtt {{ listen: "127.0.0.1:{node.port}", ack_wait: "60s", max_ack_pending: 5000, stream_replicas: {self._replicas} }}
""")

    def _leaders(self) -> dict[str, dict[str, dict[str, str]]] | None:
        """The streams as their leaders see them; None while the cluster itself has no leader."""
        streams = {}
        for node in self.nodes:
            if node.process is None:
                continue
            with urllib.request.urlopen(
                f"http://127.0.0.1:{node.watch_port}/jsz?accounts=1&streams=1", timeout=10
            ) as answer:
                seen = json.load(answer)
            if not seen.get("meta_cluster", {}).get("leader"):
                return None
            for account in seen.get("account_details") or ():
                for one in account.get("stream_detail") or ():
                    if one["cluster"].get("leader") == node.name:
                        streams[one["name"]] = one
        return streams
