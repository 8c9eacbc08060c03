"""The store that an address names: postgresql://..., or the path of an SQLite file."""

from pathlib import Path

from edgewise_fleet.store.base import Store
from edgewise_fleet.store.sqlite import SqliteStore

POSTGRES = ("postgresql://", "postgres://")


def open_store(address: str, *, collector: str = "serve", read_only: bool = False) -> Store:
    """Raises StoreUnusable."""
    if is_postgres(address):
        from edgewise_fleet.store.postgres import PostgresStore

        return PostgresStore(address, collector=collector, read_only=read_only)
    return SqliteStore(Path(address), read_only=read_only)


def is_postgres(address: str) -> bool:
    """Whether it names a database that several collectors can share."""
    return address.startswith(POSTGRES)
