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
