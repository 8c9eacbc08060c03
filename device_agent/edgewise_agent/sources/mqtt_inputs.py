"""`mqtt:TOPIC`: inputs that come over the agent's own broker, on a connection of their own."""

import logging
import threading
import time
from collections.abc import Callable

from edgewise_agent.connection.backoff import Backoff
from edgewise_agent.connection.broker import Connection
from edgewise_agent.errors import BrokerError
from edgewise_agent.sources.pushed import Inbox
from edgewise_agent.wire.message import Message

TURN_S = 0.25

log = logging.getLogger("edgewise.agent.sources")


class MqttReceiver:
    """A Receiver that subscribes and stays connected."""

    def __init__(
        self, topic: str, connect: Callable[[Callable[[Message], None]], Connection], *, backoff: Backoff
    ) -> None:
        """``connect`` makes a connection that is not open yet, and calls back with each message."""
        self._topic, self._connect, self._backoff = topic, connect, backoff
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, inbox: Inbox) -> None:
        """See `Receiver.start`. A broker that does not answer is tried again, later and later."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._work, args=(inbox,), name="mqtt input", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """See `Receiver.stop`."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _work(self, inbox: Inbox) -> None:
        while not self._stopping.is_set():
            began_s = time.monotonic()
            try:
                self._receive(inbox)
            except BrokerError as error:
                log.warning("mqtt:%s: %s", self._topic, error)
                self._backoff.connection_ended(time.monotonic() - began_s)
                self._stopping.wait(self._backoff.next_wait_s())

    def _receive(self, inbox: Inbox) -> None:
        connection = self._connect(lambda message: self._take(message, inbox))
        try:
            connection.connect()
            connection.subscribe(self._topic)
            while not self._stopping.is_set():
                connection.run(TURN_S)
        finally:
            connection.close()

    def _take(self, message: Message, inbox: Inbox) -> None:
        if not message.retain:  # an old picture is not what the camera sees now
            inbox.put(message.payload)
