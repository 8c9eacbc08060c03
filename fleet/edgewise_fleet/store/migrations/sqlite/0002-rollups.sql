-- Points of one record lie together now (time before metric): a record touches one page, not one for each metric.
CREATE TABLE points_by_time (
    device_id INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    metric_id INTEGER NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (device_id, at_ms, metric_id)
) WITHOUT ROWID;
INSERT INTO points_by_time SELECT device_id, at_ms, metric_id, value FROM points ORDER BY device_id, at_ms, metric_id;
DROP TABLE points;
ALTER TABLE points_by_time RENAME TO points;

-- Hours and days lie by metric: one metric of all devices is read in one piece.
CREATE TABLE rollup_minute (
    device_id INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    metric_id INTEGER NOT NULL,
    count INTEGER NOT NULL,
    sum REAL NOT NULL,
    min REAL NOT NULL,
    max REAL NOT NULL,
    last REAL NOT NULL,
    PRIMARY KEY (device_id, at_ms, metric_id)
) WITHOUT ROWID;
CREATE TABLE rollup_hour (
    device_id INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    metric_id INTEGER NOT NULL,
    count INTEGER NOT NULL,
    sum REAL NOT NULL,
    min REAL NOT NULL,
    max REAL NOT NULL,
    last REAL NOT NULL,
    PRIMARY KEY (metric_id, device_id, at_ms)
) WITHOUT ROWID;
CREATE TABLE rollup_day (
    device_id INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    metric_id INTEGER NOT NULL,
    count INTEGER NOT NULL,
    sum REAL NOT NULL,
    min REAL NOT NULL,
    max REAL NOT NULL,
    last REAL NOT NULL,
    PRIMARY KEY (metric_id, device_id, at_ms)
) WITHOUT ROWID;

-- Buckets that are not up to date: those that still run, and those that a late record fell into.
CREATE TABLE unrolled (
    level INTEGER NOT NULL,
    device_id INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (level, device_id, at_ms)
) WITHOUT ROWID;
CREATE INDEX unrolled_by_time ON unrolled (level, at_ms);
INSERT INTO unrolled SELECT DISTINCT 0, device_id, at_ms - at_ms % 60000 FROM points;

-- Points before this were forgotten: a late record does not turn a whole minute into itself alone.
INSERT INTO settings VALUES ('raw_from_ms', '0');
