"""The Sparkplug host on a real connection: STATE, subscriptions, requests; records go the collector's way."""

import json
import logging
import time
from collections.abc import Callable

from edgewise_fleet.broker_url import BrokerUrl
from edgewise_fleet.errors import BadChoice
from edgewise_fleet.message import Message
from edgewise_fleet.mqtt import LastWill, Subscriber
from edgewise_fleet.sparkplug.host import NAMESPACE, SparkplugHost
from edgewise_fleet.store import Arrival
from edgewise_messages.errors import InvalidTopic
from edgewise_messages.topics import check_id

log = logging.getLogger(__name__)


class SparkplugLink:
    """One host application. Its session is clean, as the specification asks: births come again on request."""

    def __init__(
        self, url: BrokerUrl, *, host_id: str, keep: Callable[[Message, tuple[Arrival, ...]], None]
    ) -> None:
        try:
            check_id(host_id, "--sparkplug-host")
        except InvalidTopic as error:
            raise BadChoice(str(error)) from error
        self._topic = f"{NAMESPACE}/STATE/{host_id}"
        self._keep = keep
        self._host = SparkplugHost()
        self._leaving = False
        self._since_ms = _now_ms()
        self._subscriber = Subscriber(
            url,
            client_id=f"edgewise-sparkplug-{host_id}",
            filters=(f"{NAMESPACE}/#",),
            on_message=self._hear,
            will=self._new_will,
            on_ready=self._say_online,
        )

    def start(self) -> None:
        """Connect and say that the host is online. Raises BrokerRefused."""
        self._subscriber.start()

    def stop(self) -> None:
        """Say that the host goes, then disconnect."""
        self._leaving = True
        if self._subscriber.connected:
            self._subscriber.publish(self._topic, self._state(online=False), retain=True, wait_s=2.0)
        self._subscriber.stop()

    def _new_will(self) -> LastWill:
        # The will and the birth carry the same time (specification, chapter 5, host session establishment).
        self._since_ms = _now_ms()
        return LastWill(self._topic, self._state(online=False))

    def _say_online(self) -> None:
        self._host.forget()
        self._subscriber.publish(self._topic, self._state(online=True), retain=True)

    def _hear(self, message: Message) -> None:
        if message.topic == self._topic:
            self._defend(message.payload)
            return
        heard = self._host.hear(message)
        for request in heard.requests:
            log.info("asking %s for its births", request.topic.rsplit("/", 1)[1])
            self._subscriber.publish(request.topic, request.payload, qos=0)
        if heard.arrivals:
            self._keep(message, heard.arrivals)

    def _defend(self, payload: bytes) -> None:
        """The will of an earlier session may come after our birth: say again that we are there."""
        try:
            is_offline = json.loads(payload)["online"] is False
        except (ValueError, KeyError, TypeError):
            is_offline = True
        if is_offline and not self._leaving:
            self._subscriber.publish(self._topic, self._state(online=True), retain=True)

    def _state(self, *, online: bool) -> bytes:
        return json.dumps({"online": online, "timestamp": self._since_ms}).encode()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
