"""Which records of a full outbox go: those of every stretch of time alike.

A stretch becomes coarser instead of a hole: what stays is evenly spread, whichever channel it is of, and repeated
thinning keeps doubling the spacing of all of it, not of the oldest alone.
"""

import sqlite3
from collections.abc import Collection, Iterator

_STEP = 2000
_RANKS = 2**30
_GOLDEN = 663_608_941
"""2^30 divided by the golden ratio. Its multiples modulo 2^30 fill the range evenly, so the sequence numbers
whose rank is below a limit are evenly spaced (three-gap theorem), also among every n-th number."""
_RANK_SQL = f"(((seq & {_RANKS - 1}) * {_GOLDEN}) & {_RANKS - 1})"


def choose_victims(
    database: sqlite3.Connection, count: int, *, spare: Collection[int]
) -> Iterator[list[int]]:
    """Numbers to delete out of the older three quarters of ``count`` records, in steps, apart from ``spare``."""
    last = _place(database, 3 * count // 4)
    share = _share_to_keep(database, count, last)
    before = 0
    while step := _sequences_between(database, before, last):
        yield [seq for seq in step if _rank(seq) >= share and seq not in spare]
        before = step[-1]


def _place(database: sqlite3.Connection, position: int) -> int:
    """The sequence number of the record with so many before it."""
    query = "SELECT seq FROM records ORDER BY seq LIMIT 1 OFFSET ?"
    row = database.execute(query, (position,)).fetchone()
    return int(row[0]) if row else 0


def _share_to_keep(database: sqlite3.Connection, count: int, last: int) -> int:
    """The rank from which records go: the largest power of two that frees a quarter of all."""
    share = _RANKS // 2
    while share > 1:
        query = f"SELECT count(*) FROM records WHERE seq <= ? AND {_RANK_SQL} >= ?"
        (victims,) = database.execute(query, (last, share)).fetchone()
        if victims >= count // 4:
            break
        share //= 2
    return share


def _sequences_between(database: sqlite3.Connection, after: int, up_to: int) -> list[int]:
    rows = database.execute(
        "SELECT seq FROM records WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?", (after, up_to, _STEP)
    )
    return [seq for (seq,) in rows]


def _rank(seq: int) -> int:
    return (seq * _GOLDEN) % _RANKS
