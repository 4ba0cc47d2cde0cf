-- What the pair did and how far apart its nodes are. Written by the agent, read by the console and by people.

CREATE TABLE monitoring.agent_transitions (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL,
    node       text NOT NULL,
    from_state text NOT NULL,
    to_state   text NOT NULL,
    epoch      bigint NOT NULL,
    reason     text NOT NULL
);
CREATE INDEX agent_transitions_by_time ON monitoring.agent_transitions (at DESC);

CREATE TABLE monitoring.replication_samples (
    at               timestamptz NOT NULL,
    node             text NOT NULL,
    peer             text NOT NULL,
    state            text NOT NULL,
    sync_state       text,
    replay_lag_bytes bigint,
    replay_lag_ms    bigint,
    PRIMARY KEY (at, node, peer)
);

-- The server's own word on its standbys. voip_owner is in pg_monitor; voip_admin is not and needs not be.
CREATE FUNCTION monitoring.replication()
RETURNS TABLE (peer text, state text, sync_state text, replay_lag_bytes bigint, replay_lag_ms bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
AS $$
    SELECT r.application_name, r.state, r.sync_state,
           CASE WHEN NOT pg_is_in_recovery() THEN pg_wal_lsn_diff(pg_current_wal_lsn(), r.replay_lsn)::bigint END,
           (extract(epoch FROM r.replay_lag) * 1000)::bigint
      FROM pg_stat_replication r
$$;
REVOKE ALL ON FUNCTION monitoring.replication() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION monitoring.replication() TO voip_admin;
GRANT SELECT ON monitoring.agent_transitions, monitoring.replication_samples TO voip_admin;
GRANT USAGE ON SCHEMA monitoring TO exporter;
GRANT SELECT ON monitoring.agent_transitions, monitoring.replication_samples TO exporter;

-- The migrations' own record, for the daemon's check that it speaks this schema.
GRANT SELECT ON voip.schema_history TO voip_admin;
