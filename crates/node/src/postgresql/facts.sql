-- What the failover's table must know of a running server, in one question.
-- $1: the backend of the agent's barrier commit. $2: the peer's slot. $3: bytes a standby may be behind and is caught up.
SELECT
    pg_is_in_recovery(),
    current_setting('synchronous_standby_names'),
    current_setting('primary_conninfo'),
    (CASE WHEN pg_is_in_recovery() THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
          ELSE pg_current_wal_flush_lsn() END - '0/0'::pg_lsn)::int8,
    (pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::int8,
    EXISTS (SELECT FROM pg_stat_wal_receiver WHERE pid IS NOT NULL),
    EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming'),
    -- The newest life of a standby counts: a dead one's walsender may linger.
    ARRAY(SELECT application_name FROM pg_stat_replication
          WHERE state = 'streaming' AND pg_wal_lsn_diff(pg_current_wal_flush_lsn(), flush_lsn) < $3::int8
          ORDER BY backend_start DESC),
    coalesce((SELECT wait_event = 'SyncRep' FROM pg_stat_activity WHERE pid = $1::int4), false),
    (SELECT (restart_lsn - '0/0'::pg_lsn)::int8 FROM pg_replication_slots
     WHERE slot_name = $2::text AND wal_status IS DISTINCT FROM 'lost'),
    -- A primary's own; a standby's is the newest it has received or replayed.
    CASE WHEN pg_is_in_recovery() THEN greatest(
            (SELECT received_tli FROM pg_stat_wal_receiver),
            (SELECT min_recovery_end_timeline FROM pg_control_recovery()),
            (SELECT timeline_id FROM pg_control_checkpoint()))
         ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int4 END,
    pg_postmaster_start_time()
