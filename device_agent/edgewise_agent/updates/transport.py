"""Bytes from a repository: a folder, a web server or a stick, from any position on, and never more than allowed."""

import glob
import http.client
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import cached_property
from pathlib import Path

from edgewise_agent.errors import RepositoryUnreachable

CHUNK_BYTES = 64 * 1024
SILENCE_S = 30.0
"""A server that sends nothing for so long is given up."""
SLOWEST_BYTES_PER_S = 256
"""Below this, after `PATIENCE_S`, a download is given up: a slow-retrieval attack, or no network worth the name."""
PATIENCE_S = 60.0
NOT_FOUND = (403, 404)
MOUNTS = Path("/proc/self/mounts")


class NotThere(RepositoryUnreachable):
    """This one file is not in the repository, which otherwise answers."""


class Transport:
    """Reads files of one repository. ``should_stop`` ends a download; what was fetched stays."""

    def __init__(
        self,
        *,
        ca_file: Path | None = None,
        should_stop: Callable[[], bool] = lambda: False,
        silence_s: float = SILENCE_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._ca_file = ca_file
        self._should_stop = should_stop
        self._silence_s = silence_s
        self._patience_s = patience_s

    def read(self, url: str, *, start: int = 0) -> Iterator[tuple[int, bytes]]:
        """Pieces of a file with their positions, from ``start`` on, or from 0 where a server cannot do that.

        Raises NotThere or RepositoryUnreachable.
        """
        pieces = self._read_http(url, start) if is_web(url) else _read_file(url, start)
        began_s, fetched = time.monotonic(), 0
        for position, piece in pieces:
            yield position, piece
            fetched += len(piece)
            if self._should_stop():
                raise RepositoryUnreachable(f"{url}: broken off; it goes on from there next time")
            passed_s = time.monotonic() - began_s
            if passed_s > self._patience_s and fetched < passed_s * SLOWEST_BYTES_PER_S:
                raise RepositoryUnreachable(f"{url}: {fetched} bytes in {passed_s:.0f} s; too slow to go on")

    @cached_property
    def _opener(self) -> urllib.request.OpenerDirector:
        """For http and https alone: a redirect leads to no file of this machine. Made when needed: it reads all the
        system's certificates. Raises RepositoryUnreachable for a ca_file that cannot be read.
        """
        try:
            context = ssl.create_default_context(cafile=self._ca_file)
        except (OSError, ssl.SSLError) as error:
            raise RepositoryUnreachable(f"updates.ca_file {self._ca_file}: {error}") from error
        opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler(),
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(context=context),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPRedirectHandler(),
            urllib.request.HTTPErrorProcessor(),
        ):
            opener.add_handler(handler)
        return opener

    def _read_http(self, url: str, start: int) -> Iterator[tuple[int, bytes]]:
        headers = {"Range": f"bytes={start}-"} if start else {}
        headers["Accept-Encoding"] = "identity"
        try:
            response = self._opener.open(
                urllib.request.Request(url, headers=headers), timeout=self._silence_s
            )
            with closing(response):
                position = start if response.status == http.HTTPStatus.PARTIAL_CONTENT else 0
                while piece := response.read1(CHUNK_BYTES):
                    yield position, piece
                    position += len(piece)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in NOT_FOUND:
                raise NotThere(f"{url}: not there ({error.code})") from error
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return  # it is all here already, or the file is another: its digest will tell
            raise RepositoryUnreachable(f"{url}: the server says {error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise RepositoryUnreachable(f"{url}: {reason}") from error


def _read_file(path: str, start: int) -> Iterator[tuple[int, bytes]]:
    try:
        with Path(path).open("rb") as stream:
            stream.seek(start)
            while piece := stream.read(CHUNK_BYTES):
                yield start, piece
                start += len(piece)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotThere(f"{path}: not there") from error
    except OSError as error:
        raise RepositoryUnreachable(f"{path}: {error.strerror}") from error


def is_web(place: str) -> bool:
    """Whether it is an address on the web and no folder."""
    return place.startswith(("http://", "https://"))


def find_places(patterns: tuple[str, ...]) -> list[str]:
    """Where repositories can be looked for now: addresses as they are, folders and sticks that are there.

    A path under /dev is a disk; what counts is where it is mounted. Mounting is the system's business.
    """
    found: list[str] = []
    for pattern in patterns:
        if is_web(pattern):
            found.append(pattern.rstrip("/"))
        elif pattern.startswith("/dev/") and not Path(pattern).is_dir():
            found += _mounted_at(pattern)
        else:
            expanded = str(Path(pattern.removeprefix("file://")).expanduser())
            found += sorted(path for path in glob.glob(expanded) if Path(path, "metadata").is_dir())  # noqa: PTH207 - a pattern of the user, not below one folder
    return found


def _mounted_at(device: str) -> list[str]:
    """Repositories on a disk: at its root or in its folder ``edgewise``."""
    real = str(Path(device).resolve())
    try:
        lines = MOUNTS.read_text().splitlines()
    except OSError:
        return []
    points = [line.split()[1] for line in lines if line.split()[0] in (device, real)]
    decoded = [point.encode().decode("unicode_escape") for point in points]  # a blank is \040 there
    folders = [Path(point, *more) for point in decoded for more in ((), ("edgewise",))]
    return [str(folder) for folder in folders if (folder / "metadata").is_dir()]
