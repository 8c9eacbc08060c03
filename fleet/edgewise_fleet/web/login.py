"""Logging in and out: plain HTML without a script."""

from __future__ import annotations

import asyncio
from html import escape
from urllib.parse import parse_qs, urlsplit

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse

from edgewise_fleet.access import Caller, Gate, Refused
from edgewise_fleet.web.guard import COOKIE

LONGEST_BODY = 16_384

_PAGE = """<!doctype html>
<html lang="en-GB"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Log in · Edgewise fleet</title><link rel="stylesheet" href="/login?style"></head>
<body><main><h1>Edgewise fleet</h1>
<form method="post" action="/login"><input type="hidden" name="next" value="{next}">
<label for="name">User</label>
<input id="name" name="name" autocomplete="username" autocapitalize="none" required autofocus value="{name}">
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
{said}<button type="submit">Log in</button></form></main></body></html>
"""
_STYLE = """:root{color-scheme:light dark}
body{font:16px/1.4 system-ui,sans-serif;margin:0;display:grid;place-items:center;min-height:100vh;
background:light-dark(#f5f6f8,#14171b);color:light-dark(#1b1f24,#e8eaed)}
main{width:min(320px,88vw)}h1{font-size:1.5rem}form{display:grid;gap:6px}
input,button{font:inherit;padding:9px 12px;border-radius:6px;border:1px solid light-dark(#b9c0c9,#4a525d);
background:light-dark(#fff,#1d2126);color:inherit;margin-bottom:10px}
button{background:#0b6e6e;color:#fff;border:none;cursor:pointer}
:focus-visible{outline:2px solid #12908e;outline-offset:2px}
[role=alert]{margin:0 0 10px;color:light-dark(#b3261e,#ff9a91)}
"""


def add_login(site: FastAPI, gate: Gate) -> None:
    """Serve /login and /logout."""

    @site.get("/login", include_in_schema=False)
    def login_page(request: Request) -> Response:
        if "style" in request.query_params:
            return Response(_STYLE, media_type="text/css")
        return _page(request.query_params.get("next", "/"))

    @site.post("/login", include_in_schema=False)
    async def login(request: Request) -> Response:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > LONGEST_BODY:
                return PlainTextResponse("too long", 413)
        try:
            sent = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        except ValueError:
            return PlainTextResponse("not a form", 400)
        name, target = sent.get("name", ""), sent.get("next", "/")
        address = request.client.host if request.client else ""
        made = await asyncio.to_thread(gate.login, name, sent.get("password", ""), address=address)
        if isinstance(made, Refused):
            answer = _page(target, name=name, said=made.reason, status=429 if made.wait_s else 403)
            if made.wait_s:
                answer.headers["Retry-After"] = str(int(made.wait_s) + 1)
            return answer
        answer = RedirectResponse(_own_path(target), 303)
        secure = request.url.scheme == "https"
        answer.set_cookie(COOKIE, made, httponly=True, samesite="lax", secure=secure, path="/")
        return answer

    @site.post("/logout", include_in_schema=False)
    def logout(request: Request) -> Response:
        caller: Caller | None = request.state.caller
        if caller is not None and caller.session:
            gate.logout(caller)
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(COOKIE, path="/")
        return answer


def _page(target: str, *, name: str = "", said: str = "", status: int = 200) -> Response:
    alert = f'<p role="alert">{escape(said)}</p>' if said else ""
    page = _PAGE.format(next=escape(_own_path(target)), name=escape(name), said=alert)
    return HTMLResponse(page, status)


def _own_path(target: str) -> str:
    """A path of this server, whatever was asked for: a login must not lead elsewhere."""
    parts = urlsplit(target.replace("\\", "/"))
    if parts.scheme or parts.netloc or not target.startswith("/") or target.startswith("//"):
        return "/"
    return target if target.isprintable() else "/"
