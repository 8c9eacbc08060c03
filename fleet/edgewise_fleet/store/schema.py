"""What marks an SQLite file as a fleet store, and its longer statements."""

APPLICATION_ID = 0x45646745
"""Marks an SQLite file as a fleet store (https://www.sqlite.org/pragma.html#pragma_application_id)."""

UPSERT_LATEST = """
ON CONFLICT (device_id, metric_id) DO UPDATE SET
    boot_id = excluded.boot_id, seq = excluded.seq, at_ms = excluded.at_ms, value = excluded.value
WHERE CASE
    WHEN excluded.boot_id = latest.boot_id THEN excluded.seq > latest.seq
    WHEN latest.boot_id = (SELECT current_boot_id FROM devices WHERE id = excluded.device_id) THEN false
    WHEN excluded.boot_id = (SELECT current_boot_id FROM devices WHERE id = excluded.device_id) THEN true
    ELSE excluded.at_ms > latest.at_ms
END
"""
"""Ends an INSERT INTO latest, in both databases. Within a boot the sequence decides. Between boots the one that the
device's status named wins, because a device without a clock may come up in the past and may replay an earlier boot's
records after live ones."""
