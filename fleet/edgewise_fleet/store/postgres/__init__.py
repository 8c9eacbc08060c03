"""The store in PostgreSQL: written by any number of collectors. Only this folder knows psycopg."""

from edgewise_fleet.store.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
