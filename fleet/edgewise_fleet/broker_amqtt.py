"""The broker in Python for machines without mosquitto, in its own process: the only file that knows amqtt.

It keeps nothing on disk and forgets our session when we disconnect. Good for trying things out.
"""

import asyncio
import logging
import signal
import sys

from amqtt.broker import Broker
from amqtt.errors import AMQTTError


async def serve(host: str, port: int) -> None:
    """Serve until SIGTERM."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    shown = f"[{host}]" if ":" in host else host
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"{shown}:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    await broker.start()
    await ended.wait()
    await broker.shutdown()


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    try:
        asyncio.run(serve(sys.argv[1], int(sys.argv[2])))
    except AMQTTError as error:
        sys.exit(str(error))
