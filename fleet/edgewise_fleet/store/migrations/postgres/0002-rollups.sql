CREATE TABLE rollup_minute (
    device_id integer NOT NULL,
    metric_id integer NOT NULL,
    at_ms bigint NOT NULL,
    count bigint NOT NULL,
    sum double precision NOT NULL,
    min double precision NOT NULL,
    max double precision NOT NULL,
    last double precision NOT NULL,
    PRIMARY KEY (device_id, at_ms, metric_id)
);
-- Hours and days lie by metric: one metric of all devices is read in one piece.
CREATE TABLE rollup_hour (LIKE rollup_minute, PRIMARY KEY (metric_id, device_id, at_ms));
CREATE TABLE rollup_day (LIKE rollup_minute, PRIMARY KEY (metric_id, device_id, at_ms));

-- Buckets that are not up to date. Rows are only added and taken away whole, and there may be several of one bucket:
-- a collector that found a bucket here already could not know whether it is being rolled up at this moment.
CREATE TABLE unrolled (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    level smallint NOT NULL,
    device_id integer NOT NULL,
    at_ms bigint NOT NULL
);
CREATE INDEX unrolled_by_device ON unrolled (level, device_id, at_ms);
CREATE INDEX unrolled_by_time ON unrolled (level, at_ms);

INSERT INTO settings VALUES ('raw_from_ms', '0');
