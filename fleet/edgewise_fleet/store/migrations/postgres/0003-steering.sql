-- What the fleet's owner says of devices, and rollouts. Names sort by their bytes, as in SQLite.
CREATE TABLE registry (
    group_name text COLLATE "C" NOT NULL,
    device text COLLATE "C" NOT NULL,
    entry bytea NOT NULL,
    PRIMARY KEY (group_name, device)
);

CREATE TABLE rollouts (
    number bigint GENERATED ALWAYS AS IDENTITY,
    id text PRIMARY KEY,
    created_ms bigint NOT NULL,
    version bigint NOT NULL,
    state bytea NOT NULL
);

CREATE TABLE rollout_devices (
    rollout_id text NOT NULL,
    group_name text COLLATE "C" NOT NULL,
    device text COLLATE "C" NOT NULL,
    state bytea NOT NULL,
    PRIMARY KEY (rollout_id, group_name, device)
);

CREATE TABLE rollout_history (
    rollout_id text NOT NULL,
    number bigint NOT NULL,
    decision bytea NOT NULL,
    PRIMARY KEY (rollout_id, number)
);
