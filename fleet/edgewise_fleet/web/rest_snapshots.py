"""Snapshots in the REST API. A device's bytes are served as what they were decoded as here, and as nothing else."""

from __future__ import annotations

from fastapi import FastAPI, HTTPException, Response

from edgewise_fleet.access import Gate
from edgewise_fleet.errors import FleetError, StoreUnusable
from edgewise_fleet.snapshots import KeptSnapshot, SnapshotDesk
from edgewise_fleet.snapshots.checking import SUFFIXES
from edgewise_fleet.web import api_models as out
from edgewise_fleet.web.rest_parts import Id, Operator
from edgewise_messages import DeviceAddress

BASE = "/devices/{group}/{device}/snapshots"
# Beside nosniff, which every answer has: whatever a browser makes of it, it runs nothing and belongs to nobody.
POLICY = "default-src 'none'; sandbox; base-uri 'none'; frame-ancestors 'none'"


def add_snapshots(api: FastAPI, gate: Gate, desk: SnapshotDesk) -> None:
    """Add the routes: viewers look, operators ask and delete."""

    @api.get(BASE, tags=["snapshots"])
    def snapshots(group: Id, device: Id) -> out.SnapshotsOut:
        """What was asked of a device, and what came; newest first."""
        found = desk.book.of_device(DeviceAddress(group, device))
        return out.SnapshotsOut(
            snapshots=[out.SnapshotOut.model_validate(one) for one in found], trouble=desk.trouble()
        )

    @api.post(BASE, tags=["snapshots"], status_code=202)
    def ask(group: Id, device: Id, wanted: out.SnapshotIn, caller: Operator) -> out.SnapshotOut:
        """Ask the device for one; for operators. It comes, or why it does not, in the list."""
        address = DeviceAddress(group, device)
        try:
            asked = desk.ask(address, who=caller.name, rule=wanted.rule, snapshot=wanted.snapshot)
        except StoreUnusable:
            raise
        except FleetError as error:
            raise HTTPException(409, str(error)) from error
        gate.audit.add(
            who=caller.name,
            address=caller.address,
            what="snapshot asked",
            detail=f"{group}/{device} {asked.id}",
        )
        return out.SnapshotOut.model_validate(asked)

    @api.get(BASE + "/{request}", tags=["snapshots"])
    def snapshot(group: Id, device: Id, request: Id) -> out.SnapshotOut:
        """One request, and what came of it."""
        return out.SnapshotOut.model_validate(_known(desk, DeviceAddress(group, device), request))

    @api.get(
        BASE + "/{request}/content",
        tags=["snapshots"],
        response_class=Response,
        responses={
            200: {"content": {media: {} for media in SUFFIXES}, "description": "as the device sent it"}
        },
    )
    def content(group: Id, device: Id, request: Id) -> Response:
        """The picture or sound itself."""
        address = DeviceAddress(group, device)
        found, data = _known(desk, address, request), desk.book.content(address, request)
        if data is None or found.media not in SUFFIXES:
            raise HTTPException(404, f"snapshot {request} of {group}/{device} is not here: {found.state}")
        return _as_file(data, found.media, f"{group}-{device}-{request}.{SUFFIXES[found.media]}")

    @api.get(
        BASE + "/{request}/thumbnail",
        tags=["snapshots"],
        response_class=Response,
        responses={200: {"content": {"image/jpeg": {}}, "description": "made by the server"}},
    )
    def thumbnail(group: Id, device: Id, request: Id) -> Response:
        """A small JPEG of a picture."""
        data = desk.book.thumbnail(DeviceAddress(group, device), request)
        if data is None:
            raise HTTPException(404, f"snapshot {request} of {group}/{device} has no thumbnail")
        return _as_file(data, "image/jpeg", f"{group}-{device}-{request}-small.jpg")

    @api.delete(BASE + "/{request}", tags=["snapshots"], status_code=204)
    def delete(group: Id, device: Id, request: Id, caller: Operator) -> Response:
        """Forget it; for operators. What the device keeps stays there."""
        if not desk.book.delete(DeviceAddress(group, device), request):
            raise HTTPException(404, f"snapshot {request} of {group}/{device} is not known")
        gate.audit.add(
            who=caller.name,
            address=caller.address,
            what="snapshot deleted",
            detail=f"{group}/{device} {request}",
        )
        return Response(status_code=204)


def _known(desk: SnapshotDesk, address: DeviceAddress, request: str) -> KeptSnapshot:
    found = desk.book.find(address, request)
    if found is None:
        raise HTTPException(404, f"snapshot {request} of {address.group}/{address.device} is not known")
    return found


def _as_file(data: bytes, media: str, name: str) -> Response:
    # The name is of ids alone, so it needs no quoting.
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Content-Security-Policy": POLICY}
    return Response(data, media_type=media, headers=headers)
