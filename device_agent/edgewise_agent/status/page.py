"""The status page: one document without anything from elsewhere, readable without a script."""

import time
from html import escape

from edgewise_agent.status.status_board import Fact, Snapshot, StatusEvent
from edgewise_messages.metrics import BY_NAME

REFRESH_S = 10
_STYLE = """\
:root { color-scheme:light dark; --paper:#f5f6f8; --card:#fff; --ink:#1b1f24; --quiet:#5b6470; --line:#dfe3e8;
  --good:#11773a; --good-bg:#e2f4e8; --bad:#b3261e; --bad-bg:#fce4e2; --warn:#8a5a00; }
@media (prefers-color-scheme: dark) { :root { --paper:#14171b; --card:#1d2126; --ink:#e8eaed; --quiet:#a0a8b2;
  --line:#333941; --good:#6fd797; --good-bg:#17382a; --bad:#ff9a91; --bad-bg:#46211f; --warn:#f0c15c; } }
* { box-sizing:border-box; }
body { margin:0; background:var(--paper); color:var(--ink); font:16px/1.45 system-ui, sans-serif; }
main { max-width:960px; margin:0 auto; padding:20px 16px 48px; display:grid; gap:16px; }
h1 { font-size:1.4rem; line-height:1.2; margin:0; overflow-wrap:anywhere; } h2 { font-size:1rem; margin:0 0 8px; }
header { display:flex; flex-wrap:wrap; gap:8px 14px; align-items:center; } header p { margin:0; flex-basis:100%; }
.quiet, dt, time { color:var(--quiet); } .quiet, time { font-size:.85rem; }
.state { border-radius:999px; padding:2px 12px; font-weight:600; font-size:.85rem; }
.well { color:var(--good); background:var(--good-bg); } .ill { color:var(--bad); background:var(--bad-bg); }
section { background:var(--card); border:1px solid var(--line); border-radius:10px; padding:16px; min-width:0; }
dl { display:grid; grid-template-columns:repeat(auto-fill,minmax(min(100%,250px),1fr)); gap:10px 18px; margin:0; }
dt { font-size:.8rem; } dd { margin:0; overflow-wrap:anywhere; }
table { border-collapse:collapse; width:100%; font-size:.9rem; font-variant-numeric:tabular-nums; }
td, th { border-top:1px solid var(--line); padding:6px 8px 6px 0; text-align:left; font-weight:400;
  vertical-align:top; overflow-wrap:anywhere; }
tr:first-child > * { border-top:none; } td.value { text-align:right; white-space:nowrap; font-weight:600; }
small { color:var(--quiet); display:block; }
ul { list-style:none; margin:0; padding:0; } li { border-top:1px solid var(--line); padding:6px 0;
  overflow-wrap:anywhere; }
li:first-child { border-top:none; } .warning { color:var(--warn); font-weight:600; } .error { color:var(--bad);
  font-weight:600; }
"""
_BYTE_STEPS = ("B", "KiB", "MiB", "GiB", "TiB")


def page(snapshot: Snapshot) -> bytes:
    """As HTML; loads itself again every REFRESH_S seconds."""
    name = escape(f"{snapshot.group}/{snapshot.device}")
    body = "".join([_head(snapshot, name), _facts(snapshot), _metrics(snapshot), _events(snapshot.events)])
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{name} · Edgewise agent</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="refresh" content="{REFRESH_S}"><link rel="icon" href="data:,">'
        f"<style>{_STYLE}</style></head><body><main>{body}</main></body></html>"
    ).encode(errors="replace")


def _head(snapshot: Snapshot, name: str) -> str:
    well = snapshot.is_healthy
    said = "running" if well else f"not heard from: {escape(', '.join(snapshot.silent))}"
    return (
        f"<header><h1>{name}</h1>"
        f'<span class="state {"well" if well else "ill"}" role="status">{"●" if well else "✕"} {said}</span>'
        f'<p class="quiet">Edgewise agent {escape(snapshot.version)}, process {snapshot.pid}, since '
        f"{_clock(snapshot.started_ms)}, shown as of {_clock(snapshot.now_ms)}</p></header>"
    )


def _facts(snapshot: Snapshot) -> str:
    sections = []
    for part, facts in snapshot.facts.items():
        rows = "".join(
            f"<div><dt>{escape(key.replace('_', ' '))}</dt><dd>{escape(_said(value))}</dd></div>"
            for key, value in facts.items()
            if value is not None and value != ""
        )
        sections.append(f"<section><h2>{escape(part.capitalize())}</h2><dl>{rows}</dl></section>")
    return "".join(sections)


def _metrics(snapshot: Snapshot) -> str:
    if not snapshot.metrics_ms:
        return '<section><h2>Vital signs</h2><p class="quiet">Nothing was measured yet.</p></section>'
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}{_meaning(name)}</th><td class="value">{_value(name, value)}</td></tr>'
        for name, value in sorted(snapshot.metrics.items())
    )
    return (
        f"<section><h2>Vital signs</h2><table><tbody>{rows}</tbody></table>"
        f'<p class="quiet">Measured {_clock(snapshot.metrics_ms)}; the same as text for Prometheus: '
        "/metrics, as JSON: /status.json</p></section>"
    )


def _events(events: tuple[StatusEvent, ...]) -> str:
    if not events:
        return '<section><h2>Events</h2><p class="quiet">None since the start.</p></section>'
    rows = "".join(
        f'<li><time>{_clock(event.ts_ms)}</time> <span class="{escape(event.severity)}">{escape(event.name)}</span> '
        f"{escape(event.message)}</li>"
        for event in events
    )
    return f"<section><h2>Events</h2><ul>{rows}</ul></section>"


def _meaning(name: str) -> str:
    known = BY_NAME.get(name)
    return f"<small>{escape(known.meaning)}</small>" if known else ""


def _value(name: str, value: float) -> str:
    known = BY_NAME.get(name)
    unit = known.unit if known else ""
    if unit == "B":
        return _bytes(value)
    return f"{value:,.6g}" if unit in ("", "1", "bitmask") else f"{value:,.6g} {escape(unit)}"


def _bytes(value: float) -> str:
    step = 0
    while abs(value) >= 1024 and step < len(_BYTE_STEPS) - 1:
        value, step = value / 1024, step + 1
    return f"{value:.4g} {_BYTE_STEPS[step]}"


def _said(value: Fact) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _clock(ts_ms: int) -> str:
    """In the device's own time zone."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ts_ms / 1000))
