"""Registry and rollouts in tables, whichever database they are in.

Each save is one transaction, and a rollout's version number tells who was later.
"""

from collections.abc import Sequence

import msgspec

from edgewise_fleet.rollouts.state import Decision, DeviceProgress, Rollout
from edgewise_fleet.steering.entries import DeviceEntry
from edgewise_fleet.store.database import Database, Writer, reading
from edgewise_messages import DeviceAddress

TURN = "rollouts"


class KeptSteering:
    """A Registry, a RolloutStore and a Turn."""

    def __init__(self, database: Database) -> None:
        """It is closed with this."""
        self._database = database

    def close(self) -> None:
        """Release the database."""
        self._database.close()

    def entries(self) -> tuple[DeviceEntry, ...]:
        """All, by group and device."""
        rows = self._database.read("SELECT entry FROM registry ORDER BY group_name, device")
        with reading(self._database.where):
            return tuple(msgspec.json.decode(entry, type=DeviceEntry) for (entry,) in rows)

    def put(self, entries: Sequence[DeviceEntry]) -> None:
        """Add or replace, all or none."""
        # In one order, whoever writes: two imports at once must wait for each other, and not crosswise.
        ordered = sorted(entries, key=lambda entry: (entry.group, entry.device))
        with self._database.writing() as writer:
            writer.run_many(
                "INSERT INTO registry (group_name, device, entry) VALUES (?, ?, ?)"
                " ON CONFLICT (group_name, device) DO UPDATE SET entry = excluded.entry",
                [(entry.group, entry.device, msgspec.json.encode(entry)) for entry in ordered],
            )

    def remove(self, address: DeviceAddress) -> bool:
        """Whether there was one."""
        with self._database.writing() as writer:
            query = "DELETE FROM registry WHERE group_name = ? AND device = ?"
            return writer.run(query, (address.group, address.device)) > 0

    def rollouts(self) -> tuple[Rollout, ...]:
        """All, oldest first."""
        rows = self._database.read(
            f"SELECT state, version FROM rollouts ORDER BY created_ms, {self._database.insertion}"
        )
        with reading(self._database.where):
            return tuple(
                msgspec.structs.replace(msgspec.json.decode(state, type=Rollout), version=version)
                for state, version in rows
            )

    def progress(self, rollout_id: str) -> dict[DeviceAddress, DeviceProgress]:
        """The devices of one."""
        rows = self._database.read(
            "SELECT state FROM rollout_devices WHERE rollout_id = ? ORDER BY group_name, device",
            (rollout_id,),
        )
        with reading(self._database.where):
            found = [msgspec.json.decode(state, type=DeviceProgress) for (state,) in rows]
        return {one.address: one for one in found}

    def save(
        self,
        rollout: Rollout,
        changed: Sequence[DeviceProgress] = (),
        decisions: Sequence[Decision] = (),
        *,
        beside: int | None = None,
    ) -> bool:
        """All of it or nothing. False when somebody saved a later state than ``rollout`` was made from.

        Of a new one also when there are more than ``beside`` others: somebody else began one meanwhile.
        """
        with self._database.writing() as writer:
            if not _put_rollout(writer, rollout, beside):
                return False
            writer.run_many(
                "INSERT INTO rollout_devices (rollout_id, group_name, device, state) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (rollout_id, group_name, device) DO UPDATE SET state = excluded.state",
                [(rollout.id, one.group, one.device, msgspec.json.encode(one)) for one in changed],
            )
            ((last,),) = writer.ask(
                "SELECT coalesce(max(number), 0) FROM rollout_history WHERE rollout_id = ?", (rollout.id,)
            )
            writer.run_many(
                "INSERT INTO rollout_history (rollout_id, number, decision) VALUES (?, ?, ?)",
                [
                    (rollout.id, number, msgspec.json.encode(one))
                    for number, one in enumerate(decisions, last + 1)
                ],
            )
        return True

    def history(self, rollout_id: str) -> tuple[Decision, ...]:
        """Oldest first."""
        rows = self._database.read(
            "SELECT decision FROM rollout_history WHERE rollout_id = ? ORDER BY number", (rollout_id,)
        )
        with reading(self._database.where):
            return tuple(msgspec.json.decode(decision, type=Decision) for (decision,) in rows)

    def take_turn(self) -> bool:
        """Whether this process is the one that carries out rollouts; see `Turn`."""
        return self._database.take_turn(TURN)

    def is_turn_taken(self) -> bool:
        """Whether any process carries them out now."""
        return self._database.is_turn_taken(TURN)


def _put_rollout(writer: Writer, rollout: Rollout, beside: int | None) -> bool:
    state = msgspec.json.encode(rollout)
    if rollout.version:
        # A second writer waits here for the first one, and then finds another version.
        query = "UPDATE rollouts SET state = ?, version = version + 1 WHERE id = ? AND version = ?"
        return writer.run(query, (state, rollout.id, rollout.version)) == 1
    writer.lock("rollouts")
    ((others,),) = writer.ask("SELECT count(*) FROM rollouts")
    if beside is not None and others > beside:
        return False
    query = "INSERT INTO rollouts (id, created_ms, version, state) VALUES (?, ?, 1, ?)"
    return writer.run(query, (rollout.id, rollout.created_ms, state)) == 1
