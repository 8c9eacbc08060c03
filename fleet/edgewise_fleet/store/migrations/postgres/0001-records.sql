CREATE TABLE settings (name text PRIMARY KEY, value text NOT NULL);

CREATE TABLE devices (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    group_name text NOT NULL,
    device text NOT NULL,
    first_seen_ms bigint NOT NULL,
    last_seen_ms bigint NOT NULL DEFAULT 0,
    state text,
    state_since_ms bigint NOT NULL DEFAULT 0,
    state_reason text NOT NULL DEFAULT '',
    current_boot_id integer,
    meta bytea,
    UNIQUE (group_name, device)
);

CREATE TABLE boots (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id integer NOT NULL REFERENCES devices,
    boot text NOT NULL,
    UNIQUE (device_id, boot)
);

-- What makes a record stored once. Not a key of `records`, as a partitioned table's key must hold its time, and the
-- same record may come again with another time once the device's clock is set.
CREATE TABLE seen (
    boot_id integer NOT NULL,
    seq bigint NOT NULL,
    at_ms bigint NOT NULL,
    PRIMARY KEY (boot_id, seq)
);
CREATE INDEX seen_by_time ON seen USING brin (at_ms);

CREATE TABLE records (
    boot_id integer NOT NULL,
    seq bigint NOT NULL,
    device_id integer NOT NULL,
    type text NOT NULL,
    name text,
    at_ms bigint NOT NULL,
    ts_ms bigint NOT NULL,
    received_ms bigint NOT NULL,
    payload bytea NOT NULL
) PARTITION BY RANGE (at_ms);
CREATE INDEX predictions_of_device ON records (device_id, at_ms) WHERE type = 'event' AND name = 'prediction';
CREATE INDEX incidents_of_device ON records (device_id, at_ms) WHERE type = 'event' AND name <> 'prediction';
CREATE TABLE records_other PARTITION OF records DEFAULT;

CREATE TABLE metrics (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE);

CREATE TABLE points (
    device_id integer NOT NULL,
    metric_id integer NOT NULL,
    at_ms bigint NOT NULL,
    value double precision NOT NULL,
    PRIMARY KEY (device_id, at_ms, metric_id)
) PARTITION BY RANGE (at_ms);
CREATE TABLE points_other PARTITION OF points DEFAULT;

CREATE TABLE latest (
    device_id integer NOT NULL,
    metric_id integer NOT NULL,
    boot_id integer NOT NULL,
    seq bigint NOT NULL,
    at_ms bigint NOT NULL,
    value double precision NOT NULL,
    PRIMARY KEY (device_id, metric_id)
) WITH (fillfactor = 70);

CREATE TABLE quarantine (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_ms bigint NOT NULL,
    topic text NOT NULL,
    reason text NOT NULL,
    payload bytea NOT NULL
);

-- A row for each collector: one that all of them update would make them wait for each other.
CREATE TABLE counters (name text, collector text, value bigint NOT NULL, PRIMARY KEY (name, collector));
