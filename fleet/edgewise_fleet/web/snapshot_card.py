"""Snapshots on a device's page: thumbnails, one of them large, and a button that asks for one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from nicegui import ui

from edgewise_fleet import wording
from edgewise_fleet.access import Caller, Gate, Role
from edgewise_fleet.errors import FleetError
from edgewise_fleet.snapshots import KeptSnapshot, SnapshotDesk, State
from edgewise_fleet.snapshots.serving import named_in
from edgewise_fleet.store import DeviceRow, EventRow
from edgewise_fleet.web.look import text
from edgewise_messages import DeviceAddress

SHOWN_CHOICES = 20
KEPT_THERE = "the device's settings keep its inputs there (privacy.raw_leaves is false)"
LATEST = "the latest one"
NONE_YET = "None was asked for yet. The device keeps what its rules say; here is what was fetched."


@dataclass(frozen=True)
class Shots:
    """All that one refresh of the card shows."""

    kept: tuple[KeptSnapshot, ...]
    choices: tuple[tuple[str, str], ...]
    """Snapshots that the device told of: its name for each, and what is said of it."""
    trouble: str
    """Why none can be asked for; empty when one can."""


def read_shots(desk: SnapshotDesk, device: DeviceRow, events: Sequence[EventRow]) -> Shots:
    """From the store. Raises StoreUnusable."""
    choices = [
        (name, f"{wording.local_time(row.at_ms)} {row.event.name} {label}".strip())
        for row in events
        for name, label in named_in((row,))
    ]
    stays = device.meta is not None and not device.meta.raw_data_leaves_device
    return Shots(
        kept=desk.book.of_device(device.address),
        choices=tuple(choices[:SHOWN_CHOICES]),
        trouble=desk.trouble() or (KEPT_THERE if stays else ""),
    )


class SnapshotCard:
    """One card; `show` draws what changed."""

    def __init__(self, desk: SnapshotDesk, gate: Gate, address: DeviceAddress, caller: Caller) -> None:
        self._desk, self._gate, self._address, self._caller = desk, gate, address, caller
        self._shown: Shots | None = None
        self._refresh: Callable[[], Awaitable[None]] | None = None
        self._may_change = caller.role.may(Role.OPERATOR)
        with ui.element("section").classes("card"):
            with ui.element("div").classes("top"):
                text("h2", "Snapshots")
                if self._may_change:
                    ui.element("div").classes("grow")
                    self._choice = ui.select({"": LATEST}, value="").props("dense outlined options-dense")
                    self._choice.props('aria-label="Which snapshot to ask for"').classes("choice")
                    self._ask = text("button", "Ask for it", "act").props('type="button"')
                    self._ask.on("click", self._do_ask)
            self._why = text("p", "", "quiet")
            self._said = text("p", "", "quiet").props('role="status"')
            self._list = ui.element("ul").classes("shots")
        with ui.dialog() as self._dialog, ui.element("div").classes("card shot-large"):
            self._large = ui.element("div")

    def on_change(self, refresh: Callable[[], Awaitable[None]]) -> None:
        """Called after something was asked for or deleted."""
        self._refresh = refresh

    def show(self, shots: Shots) -> None:
        """Draw it, if it is not what is drawn."""
        if shots == self._shown:
            return
        self._shown = shots
        self._why.text = self._explain(shots)
        self._why.set_visibility(bool(self._why.text))
        self._said.set_visibility(bool(self._said.text))
        if self._may_change:
            self._ask.props["disabled"] = bool(shots.trouble)
            self._ask.update()
            options = {"": LATEST, **dict(shots.choices)}
            self._choice.set_options(
                options, value=self._choice.value if self._choice.value in options else ""
            )
        self._list.clear()
        with self._list:
            for one in shots.kept:
                self._draw(one)

    def _explain(self, shots: Shots) -> str:
        if self._may_change and shots.trouble:
            return f"None can be asked for: {shots.trouble}."
        return (
            ""
            if shots.kept
            else "None was asked for yet. The device keeps what its rules say; here is what was fetched."
        )

    def _draw(self, one: KeptSnapshot) -> None:
        with ui.element("li"):
            if one.state is State.HERE and one.media.startswith("image/"):
                with text("button", "", "shot").props('type="button"') as button:
                    _picture(self._path(one, "thumbnail"), f"Snapshot: {_say(one)}").props('loading="lazy"')
                button.props["aria-label"] = f"Open large: {_say(one)}"
                button.on("click", lambda _, one=one: self._open(one))
            elif one.state is State.HERE:
                sound = text("audio", "", "shot").props('controls preload="none"')
                sound.props["src"] = self._path(one, "content")
                sound.props["aria-label"] = f"Sound: {_say(one)}"
            else:
                text("div", "on its way" if one.state is State.WAITING else "did not come", "shot quiet")
            text("div", _say(one), "said")
            asked = f"by {one.asked_by}"
            if one.taken_ms:
                asked = f"asked for {asked}, {wording.local_time(one.asked_ms)}"
            text("div", f"{asked}: {one.reason}" if one.reason else asked, "quiet small")
            if self._may_change and not (one.state is State.HERE and one.media.startswith("image/")):
                self._delete_button(one)

    def _open(self, one: KeptSnapshot) -> None:
        self._large.clear()
        with self._large:
            text("h2", _say(one))
            _picture(self._path(one, "content"), f"Snapshot, large: {_say(one)}")
            facts = f"{one.shape} · {wording.size(one.size_bytes)} · {one.media} · sha256 {one.sha256}"
            text(
                "p",
                f"{facts} · asked for by {one.asked_by}, {wording.local_time(one.asked_ms)}",
                "quiet small",
            )
            with ui.element("div").classes("top"):
                ui.link("Download", self._path(one, "content")).props("download")
                ui.element("div").classes("grow")
                if self._may_change:
                    self._delete_button(one)
                text("button", "Close", "act").props('type="button"').on("click", self._dialog.close)
        self._dialog.open()

    def _delete_button(self, one: KeptSnapshot) -> None:
        button = text("button", "Delete", "act").props('type="button"')
        button.props["aria-label"] = f"Delete: {_say(one)}"

        async def delete() -> None:
            self._dialog.close()
            await self._change(lambda: self._delete(one))

        button.on("click", delete)

    async def _do_ask(self) -> None:
        snapshot = str(self._choice.value or "")
        await self._change(lambda: self._ask_for(snapshot))

    async def _change(self, work: Callable[[], str]) -> None:
        self._said.text = await asyncio.to_thread(self._guarded, work)
        self._said.set_visibility(bool(self._said.text))
        if self._refresh is not None:
            await self._refresh()

    def _guarded(self, work: Callable[[], str]) -> str:
        if not self._gate.still(self._caller, Role.OPERATOR):
            return "You are logged out, or may no longer do this."
        try:
            return work()
        except FleetError as error:
            return f"not done: {error}"

    def _ask_for(self, snapshot: str) -> str:
        asked = self._desk.ask(self._address, who=self._caller.name, snapshot=snapshot)
        self._note("snapshot asked", asked.id)
        return ""

    def _delete(self, one: KeptSnapshot) -> str:
        if not self._desk.book.delete(self._address, one.id):
            return "It was deleted already."
        self._note("snapshot deleted", one.id)
        return ""

    def _note(self, what: str, request: str) -> None:
        self._gate.audit.add(
            who=self._caller.name,
            address=self._caller.address,
            what=what,
            detail=f"{self._address.group}/{self._address.device} {request}",
        )

    def _path(self, one: KeptSnapshot, what: str) -> str:
        return f"/api/v1/devices/{one.group}/{one.device}/snapshots/{one.id}/{what}"


def _picture(path: str, alternative: str) -> ui.element:
    shown = ui.element("img")
    shown.props["src"], shown.props["alt"] = path, alternative
    return shown


def _say(one: KeptSnapshot) -> str:
    """When it was taken, by which rule, and what was seen; when it was asked for while there is nothing."""
    taken = wording.local_time(one.taken_ms) if one.taken_ms else ""
    return (
        " · ".join(part for part in (taken, one.rule, one.label) if part)
        or f"asked for {wording.local_time(one.asked_ms)}"
    )
