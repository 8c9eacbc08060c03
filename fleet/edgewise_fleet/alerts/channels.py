"""Where notifications go. The only file that knows Apprise; webhooks need no library."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import logging
import urllib.error
import urllib.request
import warnings
from typing import Protocol
from urllib.parse import urlsplit

import msgspec

from edgewise_fleet.alerts.notice import Notice
from edgewise_fleet.alerts.rules import NotifySettings
from edgewise_fleet.errors import BadRules

TIMEOUT_S = 15.0
SIGNATURE = "X-Edgewise-Signature"


class NotDelivered(Exception):
    """The receiver could not be reached, or said no; why, in words and without secrets."""


class Channel(Protocol):
    """One receiver."""

    name: str
    """Tells receivers apart over a restart, without secrets."""

    def send(self, body: bytes) -> None:
        """Deliver a `Notice` as JSON. Raises NotDelivered."""


class Webhook:
    """POSTs the notice as it is."""

    def __init__(self, url: str, *, secret: str = "") -> None:
        self.name = f"webhook {_shown(url)}"
        self._url = url
        self._secret = secret

    def send(self, body: bytes) -> None:
        """Deliver it; any answer of 200 to 299 is a yes. Raises NotDelivered."""
        headers = {"Content-Type": "application/json", "User-Agent": "edgewise-fleet"}
        if self._secret:
            digest = hmac.new(self._secret.encode(), body, hashlib.sha256).hexdigest()
            headers[SIGNATURE] = f"sha256={digest}"
        request = urllib.request.Request(self._url, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S):
                pass
        except urllib.error.HTTPError as error:
            with error:
                raise NotDelivered(f"{self.name}: answered {error.code}") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NotDelivered(f"{self.name}: {getattr(error, 'reason', None) or error}") from error


class AppriseChannel:
    """Any of Apprise's services."""

    def __init__(self, url: str) -> None:
        """Raises BadRules for an address that Apprise does not know."""
        with warnings.catch_warnings():
            # It imports modules that Python is about to drop, inside of try.
            warnings.simplefilter("ignore", DeprecationWarning)
            import apprise

            made = apprise.Apprise.instantiate(url, suppress_exceptions=True)
        logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it logs addresses with their secrets
        scheme = url.split(":", 1)[0]
        if made is None:
            raise BadRules(
                f"notify.apprise: {scheme}://...: not an address that Apprise knows;"
                " see https://github.com/caronc/apprise/wiki"
            )
        self._made = made
        self._kinds = {
            "info": apprise.NotifyType.INFO,
            "warning": apprise.NotifyType.WARNING,
            "critical": apprise.NotifyType.FAILURE,
        }
        self.name = f"apprise {made.url(privacy=True)}"

    def send(self, body: bytes) -> None:
        """Deliver title and text. Raises NotDelivered."""
        notice = msgspec.json.decode(body, type=Notice)
        try:
            arrived = self._made.notify(
                body=notice.text, title=notice.title, notify_type=self._kinds[notice.severity]
            )
        except Exception as error:  # a plug-in may raise whatever its library raises
            raise NotDelivered(f"{self.name}: {error}") from error
        if not arrived:
            raise NotDelivered(f"{self.name}: not delivered")


def make_channels(settings: NotifySettings) -> tuple[Channel, ...]:
    """The receivers that the settings name. Raises BadRules."""
    hooks = [Webhook(url, secret=settings.webhook_secret) for url in settings.webhooks]
    return (*hooks, *(AppriseChannel(url) for url in settings.apprise))


def _shown(url: str) -> str:
    """Without user, password and query; a digest tells two of the same place apart."""
    parts = urlsplit(url)
    mark = hashlib.sha256(url.encode()).hexdigest()[:8]
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path} #{mark}"
