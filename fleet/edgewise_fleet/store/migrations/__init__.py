"""How the tables of a store became what they are: one SQL file per step and database, run once each, by name.

A change adds a file `NNNN-what.sql` to both folders and edits none. The names of those that were run stand in the
store (table `migrations`), so two changes that were made side by side may have the same number.
"""

from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True)
class Migration:
    """One step."""

    name: str
    sql: str


def load_migrations(database: str) -> tuple[Migration, ...]:
    """All steps for `sqlite` or `postgres`, in order of their names."""
    folder = resources.files(__name__).joinpath(database)
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda f: f.name)
    return tuple(Migration(file.name.removesuffix(".sql"), file.read_text("utf-8")) for file in files)
