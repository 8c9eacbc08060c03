"""A stream for asyncio: reading and inference in a thread, results on the loop."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

from edgewise.streams.running import Stream, StreamResult


async def results_of(stream: Stream) -> AsyncIterator[StreamResult]:
    """Each result as it comes; closes the stream when the loop ends, is cancelled or is left."""
    loop = asyncio.get_running_loop()
    worker = ThreadPoolExecutor(1, thread_name_prefix="edgewise stream")
    try:
        while (result := await loop.run_in_executor(worker, next, stream, None)) is not None:
            yield result
    finally:
        # Shielded: asyncio.run cancels what is still closing, and waits only for the loop's own executor.
        await asyncio.shield(loop.run_in_executor(None, _close, stream, worker))


def _close(stream: Stream, worker: ThreadPoolExecutor) -> None:
    """From a third thread, since the worker may be waiting for a frame and the loop may not wait."""
    stream.stop()
    worker.submit(stream.close).result()
    worker.shutdown()
