"""A site of its own process with rollouts that are kept in memory: python rollouts_site.py FOLDER."""

import sys
from dataclasses import replace
from pathlib import Path

from edgewise_fleet.access import Gate
from edgewise_fleet.alerts import AlertBook, AlertWatch, parse_rules
from edgewise_fleet.errors import BadCommand
from edgewise_fleet.panel_db import PanelDb
from edgewise_fleet.ports import listen
from edgewise_fleet.rollouts_view import RolloutLine
from edgewise_fleet.store import SqliteStore
from edgewise_fleet.view import FleetView
from edgewise_fleet.web import Panel, serve_pages


class Link:
    connected = True
    trouble = ""


class MemoryRollouts:
    """Two rollouts; one can be paused and resumed, the other refuses."""

    def __init__(self) -> None:
        self.found = {
            "r2": RolloutLine(
                key="r2",
                model="door-v4",
                phase="running",
                stage="2 of 4 (25 %)",
                counts=(("run it", 12), ("wait", 36)),
                reason="stage 1 was healthy for 10 minutes",
                actions=("pause", "roll back"),
            ),
            "r1": RolloutLine(
                key="r1",
                model="till-v2",
                phase="halted",
                stage="1 of 3 (1 device)",
                counts=(("went back", 1),),
                reason="p95 rose from 20 to 61 ms on shop/cam-1",
                actions=("resume",),
            ),
        }

    def lines(self) -> list[RolloutLine]:
        return list(self.found.values())

    def act(self, key: str, action: str, *, who: str) -> str:
        if key == "r1":
            raise BadCommand("till-v2 is halted for its health: start a new rollout")
        paused = action == "pause"
        phase, actions = ("paused", ("resume",)) if paused else ("running", ("pause", "roll back"))
        self.found[key] = replace(self.found[key], phase=phase, actions=actions)
        return f"{action}: done by {who}"


def main(folder: Path) -> None:
    store, db = SqliteStore(folder / "fleet.db"), PanelDb(folder / "fleet.db-panel")
    view = FleetView(store, link=Link(), intake=Link(), broker_url="mqtt://127.0.0.1:1883", silent_after_s=60)
    book, rules = AlertBook(db), parse_rules("", where="built-in")
    web_socket = listen("127.0.0.1", 0, purpose="page", remedy="")
    sys.stdout.write(f"http://127.0.0.1:{web_socket.getsockname()[1]}\n")
    sys.stdout.flush()
    watch = AlertWatch(view, book, rules, ())
    panel = Panel(view=view, gate=Gate(db), book=book, rules=rules, watch=watch, rollouts=MemoryRollouts())
    serve_pages(panel, web_socket)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
