-- Inputs that devices were asked for: a row for each request, with what came or why nothing did.
CREATE TABLE snapshots (
    number bigint GENERATED ALWAYS AS IDENTITY,
    id text PRIMARY KEY,
    group_name text NOT NULL,
    device text NOT NULL,
    asked_ms bigint NOT NULL,
    state text NOT NULL,
    size_bytes bigint NOT NULL DEFAULT 0,
    about bytea NOT NULL,
    content bytea,
    thumbnail bytea
);
CREATE INDEX snapshots_of_device ON snapshots (group_name, device, asked_ms);
