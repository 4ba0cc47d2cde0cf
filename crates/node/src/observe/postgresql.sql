-- One row, one JSON document: the fields of observe::snapshot::Postgresql. Reads memory only, writes nothing, waits for
-- no lock. Run as a member of pg_monitor.
WITH here AS MATERIALIZED (
    SELECT in_recovery,
           CASE WHEN in_recovery THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END AS lsn
    FROM pg_is_in_recovery() AS in_recovery
)
SELECT json_build_object(
    'running', true,
    'version', split_part(current_setting('server_version'), ' ', 1),
    'started_at', to_char(pg_postmaster_start_time() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
    'in_recovery', in_recovery,
    'writable', NOT in_recovery AND current_setting('default_transaction_read_only') = 'off',
    'timeline', CASE
        WHEN in_recovery THEN coalesce(
            (SELECT received_tli FROM pg_stat_wal_receiver), (SELECT timeline_id FROM pg_control_checkpoint()))
        ELSE ('x' || left(pg_walfile_name(lsn), 8))::bit(32)::int END,
    'sync_names', current_setting('synchronous_standby_names'),
    'writes_waiting', (SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'),
    'connections', (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
    'connections_max', current_setting('max_connections')::int,
    'replay_lag_bytes', CASE WHEN in_recovery
        THEN greatest(pg_wal_lsn_diff(lsn, pg_last_wal_replay_lsn()), 0)::bigint END,
    'replay_lag_seconds', CASE
        WHEN NOT in_recovery THEN NULL
        WHEN pg_last_wal_replay_lsn() >= lsn THEN 0
        ELSE round(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::numeric, 3)::float8 END,
    'receiver', (
        SELECT json_build_object(
            'status', status, 'from_host', sender_host, 'slot', slot_name,
            'lag_bytes', greatest(pg_wal_lsn_diff(latest_end_lsn, flushed_lsn), 0)::bigint,
            'silent_seconds',
                round(extract(epoch FROM clock_timestamp() - last_msg_receipt_time)::numeric, 3)::float8)
        FROM pg_stat_wal_receiver),
    'standbys', (
        SELECT coalesce(json_agg(json_build_object(
            'name', application_name, 'address', host(client_addr), 'state', coalesce(state, ''),
            'sync_state', coalesce(sync_state, ''),
            'flush_lag_bytes', greatest(pg_wal_lsn_diff(here.lsn, flush_lsn), 0)::bigint,
            'replay_lag_bytes', greatest(pg_wal_lsn_diff(here.lsn, replay_lsn), 0)::bigint,
            'flush_lag_seconds', extract(epoch FROM flush_lag)::float8,
            'replay_lag_seconds', extract(epoch FROM replay_lag)::float8)
            ORDER BY application_name), '[]')
        FROM (SELECT * FROM pg_stat_replication LIMIT 16) AS standby),
    'slots', (
        SELECT coalesce(json_agg(json_build_object(
            'name', slot_name, 'active', active, 'wal_status', wal_status,
            'retained_bytes', greatest(pg_wal_lsn_diff(here.lsn, restart_lsn), 0)::bigint)
            ORDER BY slot_name), '[]')
        FROM (SELECT * FROM pg_replication_slots LIMIT 16) AS slot)
)::text
FROM here
