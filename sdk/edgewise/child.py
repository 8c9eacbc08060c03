"""A process of its own for one model: it answers questions in lines of JSON, and may die without harm to us."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from edgewise import errors
from edgewise.errors import BackendUnavailable, EdgewiseError, UnreadableImage


class Child:
    """Runs a module that calls `serve`. A context manager: leaving it ends the process, whatever it does."""

    def __init__(self, module: str, path: Path) -> None:
        """``path`` is the model, for messages."""
        self._path = path
        # Both stay open until `close`.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child
        self._process = subprocess.Popen(
            # -P: a numpy.py in the user's folder is not the user's NumPy.
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            # Ctrl-C reaches us alone, and we end it.
            start_new_session=True,
        )

    def ask(self, what: str, **values: Any) -> dict[str, Any]:
        """Send a request and wait for the answer. Raises what the child raised, or BackendUnavailable if it died."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"what": what, **values}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._died() from None
        line = self._process.stdout.readline()
        if not line.endswith("\n"):
            raise self._died()
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise self._as_ours(answer["error"], answer["message"])
        return answer

    def close(self) -> None:
        """End the process. Closing twice does nothing."""
        with suppress(BrokenPipeError):
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    stream.close()
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _as_ours(self, name: str, message: str) -> EdgewiseError:
        kind: type[EdgewiseError] = getattr(errors, name, EdgewiseError)
        is_placed = str(self._path) in message or kind is UnreadableImage
        return kind(message if is_placed else f"{self._path}: {message}")

    def _died(self) -> BackendUnavailable:
        code = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        last = f": {lines[-1].strip()}" if lines else ""
        if code >= 0:
            return BackendUnavailable(f"{self._path}: the process that ran it ended with code {code}{last}")
        name = signal.Signals(-code).name
        hint = "; the kernel does so when memory runs out" if name == "SIGKILL" else ""
        return BackendUnavailable(f"{self._path}: the process that ran it was ended by {name}{hint}{last}")


def serve(answer: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """The child's side: answer requests until there are no more. What else is printed goes to standard error."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line))
        except EdgewiseError as error:
            reply = {"error": type(error).__name__, "message": str(error)}
        except MemoryError as error:
            reply = {
                "error": BackendUnavailable.__name__,
                "message": f"not enough memory: {error}".rstrip(": "),
            }
        replies.write(json.dumps(reply) + "\n")
        replies.flush()
