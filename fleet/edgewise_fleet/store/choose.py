"""The store that an address names: postgresql://..., or the path of an SQLite file."""

from pathlib import Path

from edgewise_fleet.errors import StoreUnusable
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
    """Whether it names a database that several collectors can share. Raises StoreUnusable for one of no kind."""
    if address.startswith(POSTGRES):
        return True
    scheme, colon, _ = address.partition(":")
    if "://" in address or (colon and scheme in ("postgresql", "postgres")):
        raise StoreUnusable(
            f"store {scheme}:...: expected the path of a file, or postgresql://[user[:password]@]host[:port]/database"
        )
    return False


def beside(address: str) -> Path:
    """The file whose neighbours hold what is no record: the store's own, or fleet.db here for a PostgreSQL server."""
    return Path("fleet.db" if is_postgres(address) else address)
