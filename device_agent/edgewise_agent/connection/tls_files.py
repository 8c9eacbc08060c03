"""Certificates, keys and passwords from files that may be replaced at any time."""

import logging
import ssl
from collections.abc import Callable
from pathlib import Path

from edgewise_agent.connection.broker_answers import why
from edgewise_agent.connection.certificate_times import TimesCheckedContext
from edgewise_agent.connection.known_time import KnownTime
from edgewise_agent.errors import BrokerError
from edgewise_agent.settings.config import BrokerSettings

log = logging.getLogger("edgewise.agent.broker")

Version = tuple[tuple[int, int, int], ...]
"""Of each file what changes when it is replaced or rewritten: inode, time of modification in ns, size."""


class TlsFiles:
    """The TLS context of these settings, and whether there is a newer one to be had."""

    def __init__(self, settings: BrokerSettings, *, time: KnownTime | None = None) -> None:
        """``time`` is asked for when the clock cannot be trusted; without it the clock always is."""
        self._settings = settings
        self._time = time
        self._context: ssl.SSLContext | None = None
        self._version: Version = ()
        self._refused: Version = ()

    def context(self) -> ssl.SSLContext:
        """What the files say now; what they said before while they cannot be used. Raises BrokerError."""
        self.is_renewed()
        if self._context is None:
            self._context, self._version = self._load()
        return self._context

    def is_renewed(self) -> bool:
        """True when the files were replaced by others that can be used; the next context has them.

        Half-written files, or a key that does not belong to its certificate, are told once and not used.
        """
        if self._context is None:
            return False
        version = self._look()
        if version in (self._version, self._refused):
            return False
        try:
            self._context, self._version = self._load()
        except BrokerError as error:
            self._refused = version
            log.warning("%s; going on with the earlier one", error)
            return False
        self._refused = ()
        return True

    def _load(self) -> tuple[ssl.SSLContext, Version]:
        """The version is that before reading: what changes meanwhile is read again."""
        version, settings = self._look(), self._settings
        context = TimesCheckedContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.use_time(self._time)
        self._try("ca_file", settings.ca_file, lambda: _trust(context, settings.ca_file))
        certificate = settings.cert_file
        if certificate is not None:
            self._try(
                "cert_file",
                certificate,
                lambda: context.load_cert_chain(certificate, settings.key_file, _no_passphrase),
            )
        return context, version

    def _try(self, setting: str, path: Path | None, load: Callable[[], None]) -> None:
        try:
            load()
        except (OSError, ValueError) as error:
            hint = ""
            if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
                hint = f"; {self._settings.key_file} is not its key"
            raise BrokerError(f"broker.{setting} {path}: {why(error)}{hint}") from error

    def _look(self) -> Version:
        return tuple(_version_of(path) for path in certificate_files(self._settings))


def certificate_files(settings: BrokerSettings) -> list[Path]:
    """Those that the settings name."""
    named = (settings.ca_file, settings.cert_file, settings.key_file)
    return [path for path in named if path is not None]


def read_password(settings: BrokerSettings) -> str | None:
    """The first line of the password file. Raises BrokerError."""
    if settings.password_file is None:
        return None
    try:
        return settings.password_file.read_text().partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise BrokerError(f"broker.password_file {settings.password_file}: {why(error)}") from error


def _trust(context: ssl.SSLContext, ca_file: Path | None) -> None:
    if ca_file is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(ca_file)


def _no_passphrase() -> str:
    """OpenSSL would ask on the terminal, and a device has nobody there."""
    raise ValueError("the key is protected by a passphrase; an agent needs it without one")


def _version_of(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_ino, found.st_mtime_ns, found.st_size)
