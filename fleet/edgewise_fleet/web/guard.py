"""What every request passes: who asks, from where, by which page; and the headers of every answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import quote, urlsplit

from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgewise_fleet.access import Caller, Gate, Role
from edgewise_fleet.broker_url import LOOPBACK_HOSTS

COOKIE = "edgewise_session"
OPEN_PATHS = frozenset({"/login", "/healthz", "/favicon.ico"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
OWN_SITES = frozenset({"same-origin", "none"})
LOGIN_POLICY = "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'"
# NiceGUI compiles its components in the browser and starts them by a script in the page.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data: blob:; media-src 'self'; font-src 'self' data:; connect-src 'self'; manifest-src 'self';"
    " worker-src 'self' blob:; form-action 'self'"
)
POLICY_END = "; base-uri 'none'; frame-ancestors 'none'; object-src 'none'"
HEADERS = (
    (b"x-frame-options", b"DENY"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)


class Guard:
    """An ASGI application around the site."""

    def __init__(
        self, site: ASGIApp, gate: Gate, *, trusted_hosts: Iterable[str] = (), any_host: bool = False
    ) -> None:
        """``any_host`` where others are meant to reach the server; else only loopback names and trusted ones."""
        self._site = site
        self._gate = gate
        self._hosts = {*LOOPBACK_HOSTS, *(host.lower() for host in trusted_hosts)}
        self._any_host = any_host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through to the site, or answer it."""
        if scope["type"] not in ("http", "websocket"):
            await self._site(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._wrong_way(scope, headers)
        if refusal is None:
            caller = await asyncio.to_thread(self._gate.caller, **_presented(scope, headers))
            scope.setdefault("state", {})["caller"] = caller
            refusal = self._not_allowed(scope, caller)
        if refusal is None:
            await self._site(scope, receive, _with_headers(scope, send))
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            await refusal(scope, receive, _with_headers(scope, send))

    def _wrong_way(self, scope: Scope, headers: dict[str, str]) -> ASGIApp | None:
        """A name that is not ours (DNS rebinding), or a page that is not ours (cross-site requests)."""
        host = headers.get("host", "")
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            name = ""
        if not self._any_host and self._gate.is_open() and name not in self._hosts:
            return PlainTextResponse(
                f"This server does not answer to the name {name!r}: nobody has to log in, so only this machine"
                " may ask. Add users, or name it with --trusted-host.\n",
                status_code=421,
            )
        if scope["type"] == "http" and scope["method"] in SAFE_METHODS:
            return None
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
        if (origin is not None and urlsplit(origin).netloc != host) or site not in OWN_SITES:
            return JSONResponse({"detail": "refused: the request comes from another site's page"}, 403)
        return None

    def _not_allowed(self, scope: Scope, caller: Caller | None) -> ASGIApp | None:
        path = scope["path"]
        if path in OPEN_PATHS:
            return None
        is_api = path.startswith("/api/") or path == "/metrics"
        if caller is None:
            if is_api or scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS:
                return JSONResponse(
                    {"detail": "log in, or send a token: Authorization: Bearer ..."},
                    401,
                    {"WWW-Authenticate": "Bearer"},
                )
            wanted = path + (f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else "")
            return RedirectResponse(f"/login?next={quote(wanted, safe='')}", 303)
        return None


def needs(caller: Any, role: Role) -> bool:
    """Whether a request's caller has this role."""
    return isinstance(caller, Caller) and caller.role.may(role)


def _presented(scope: Scope, headers: dict[str, str]) -> dict[str, str]:
    """Session or token of a request, and the address it comes from."""
    client = scope.get("client")
    kind, _, token = headers.get("authorization", "").partition(" ")
    session = ""
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        session = morsel.value if morsel is not None else ""
    except CookieError:
        pass
    return {
        "session": session,
        "token": token.strip() if kind.lower() == "bearer" else "",
        "address": client[0] if client else "",
    }


def _with_headers(scope: Scope, send: Send) -> Send:
    policy = LOGIN_POLICY if scope["path"] == "/login" or scope["path"].startswith("/api/") else PAGE_POLICY
    always = (*HEADERS, (b"content-security-policy", (policy + POLICY_END).encode()))
    may_cache = scope["path"].startswith("/_nicegui/")

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = {name.lower() for name, _ in message["headers"]}
            extra = [(name, value) for name, value in always if name not in given]
            if not may_cache and b"cache-control" not in given:
                extra.append((b"cache-control", b"no-store"))
            message = {**message, "headers": [*message["headers"], *extra]}
        await send(message)

    return send_with_headers
