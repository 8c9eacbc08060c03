"""Registry and rollouts in the tables of a PostgreSQL store: one registry for servers and people on many machines."""

from edgewise_fleet.steering.kept import KeptSteering
from edgewise_fleet.store.postgres.database import PostgresDatabase


class PostgresSteering(KeptSteering):
    """A Registry and a RolloutStore."""

    def __init__(self, url: str, *, create: bool = True) -> None:
        """Raises StoreUnusable; without ``create`` also for a database without a fleet store."""
        super().__init__(PostgresDatabase(url, name="steering", create=create))
