"""The tables of the SQLite store, and how an older store becomes a current one."""

APPLICATION_ID = 0x45646745
"""Marks an SQLite file as a fleet store (https://www.sqlite.org/pragma.html#pragma_application_id)."""

SCHEMA_V1 = """
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE devices (
    id INTEGER PRIMARY KEY,
    group_name TEXT NOT NULL,
    device TEXT NOT NULL,
    first_seen_ms INTEGER NOT NULL,
    last_seen_ms INTEGER NOT NULL DEFAULT 0,
    state TEXT,
    state_since_ms INTEGER NOT NULL DEFAULT 0,
    state_reason TEXT NOT NULL DEFAULT '',
    current_boot_id INTEGER,
    meta BLOB,
    UNIQUE (group_name, device)
);

CREATE TABLE boots (
    id INTEGER PRIMARY KEY,
    device_id INTEGER NOT NULL REFERENCES devices,
    boot TEXT NOT NULL,
    UNIQUE (device_id, boot)
);

CREATE TABLE records (
    boot_id INTEGER NOT NULL REFERENCES boots,
    seq INTEGER NOT NULL,
    device_id INTEGER NOT NULL,
    type TEXT NOT NULL,
    name TEXT,
    at_ms INTEGER NOT NULL,
    ts_ms INTEGER NOT NULL,
    received_ms INTEGER NOT NULL,
    payload BLOB NOT NULL,
    PRIMARY KEY (boot_id, seq)
) WITHOUT ROWID;
CREATE INDEX records_by_time ON records (at_ms);
CREATE INDEX predictions_of_device ON records (device_id, at_ms) WHERE type = 'event' AND name = 'prediction';
CREATE INDEX incidents_of_device ON records (device_id, at_ms) WHERE type = 'event' AND name <> 'prediction';

CREATE TABLE metrics (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);

CREATE TABLE points (
    device_id INTEGER NOT NULL,
    metric_id INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (device_id, metric_id, at_ms)
) WITHOUT ROWID;

CREATE TABLE latest (
    device_id INTEGER NOT NULL,
    metric_id INTEGER NOT NULL,
    boot_id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (device_id, metric_id)
) WITHOUT ROWID;

CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    received_ms INTEGER NOT NULL,
    topic TEXT NOT NULL,
    reason TEXT NOT NULL,
    payload BLOB NOT NULL
);

CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""

MIGRATIONS: tuple[str, ...] = (SCHEMA_V1,)
"""Entry n takes a store from version n to n + 1; a later version appends, never edits."""

VERSION = len(MIGRATIONS)

PRUNE_POINTS = """
DELETE FROM points WHERE (device_id, metric_id, at_ms) IN (
    SELECT points.device_id, points.metric_id, points.at_ms
    FROM devices CROSS JOIN metrics CROSS JOIN points
    ON points.device_id = devices.id AND points.metric_id = metrics.id AND points.at_ms < ?
)
"""
"""CROSS JOIN keeps this order, so each pair is one range of the key (https://www.sqlite.org/optoverview.html)."""

UPSERT_LATEST = """
INSERT INTO latest (device_id, metric_id, boot_id, seq, at_ms, value) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (device_id, metric_id) DO UPDATE SET
    boot_id = excluded.boot_id, seq = excluded.seq, at_ms = excluded.at_ms, value = excluded.value
WHERE CASE
    WHEN excluded.boot_id = boot_id THEN excluded.seq > seq
    WHEN boot_id IS (SELECT current_boot_id FROM devices WHERE id = excluded.device_id) THEN 0
    WHEN excluded.boot_id IS (SELECT current_boot_id FROM devices WHERE id = excluded.device_id) THEN 1
    ELSE excluded.at_ms > at_ms
END
"""
"""Within a boot the sequence decides. Between boots the one that the device's status named wins, because a
device without a clock may come up in the past and may replay an earlier boot's records after live ones."""

THINNED_POINTS = """
WITH inside AS (
    SELECT at_ms, value, (at_ms - :since) / :stretch AS bucket FROM points
    WHERE device_id = :device AND metric_id = :metric AND at_ms BETWEEN :since AND :until
)
SELECT at_ms, min(value) FROM inside GROUP BY bucket
UNION
SELECT at_ms, max(value) FROM inside GROUP BY bucket
ORDER BY at_ms
"""
"""With min() or max() the bare column comes from the row that holds it (https://www.sqlite.org/quirks.html)."""
