-- How long calls are kept, what the months hold, and what became of every document.

CREATE TABLE voip.cdr_retention (
    id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- NULL: for every tenant without a row of his own, and for calls of domains that are none of ours.
    domain_id  integer REFERENCES voip.domains ON DELETE CASCADE,
    days       integer NOT NULL CONSTRAINT cdr_retention_days_range CHECK (days BETWEEN 1 AND 36500),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT cdr_retention_domain_unique UNIQUE NULLS NOT DISTINCT (domain_id)
);
SELECT voip.guard_tenant_table('voip.cdr_retention');
SELECT voip.keep_updated_at('voip.cdr_retention');
GRANT SELECT, INSERT, UPDATE, DELETE ON voip.cdr_retention TO voip_admin;

-- Every month's table with its bounds, NULL where it is open. Told from the name, which is the month in UTC.
CREATE FUNCTION voip.cdr_partitions()
RETURNS TABLE (name text, from_time timestamptz, to_time timestamptz, rows_estimate bigint, bytes bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog SET timezone = 'UTC'
AS $$
    SELECT p.name, p.month, p.month + interval '1 month', p.rows_estimate, p.bytes
      FROM (SELECT c.relname::text AS name, greatest(c.reltuples, 0)::bigint AS rows_estimate,
                   pg_total_relation_size(c.oid) AS bytes,
                   CASE WHEN c.relname ~ '^cdr_\d{4}_\d{2}$' THEN to_timestamp(substr(c.relname, 5), 'YYYY_MM') END AS month
              FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
             WHERE i.inhparent = 'voip.cdr'::regclass) p
     ORDER BY p.name
$$;
REVOKE ALL ON FUNCTION voip.cdr_partitions() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION voip.cdr_partitions() TO voip_admin;

-- Drops one month that holds nothing anybody keeps, the oldest first; its name, or NULL. Detaching takes a lock that stops
-- readers and writers: for a moment, and waits for it no longer than a second, because everybody else waits behind it.
CREATE FUNCTION voip.drop_expired_cdr_partition() RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog SET timezone = 'UTC' SET lock_timeout = '1s'
AS $$
DECLARE
    -- NULL while somebody's calls are kept for ever.
    longest integer := (SELECT max(days) FROM voip.cdr_retention
                         WHERE EXISTS (SELECT FROM voip.cdr_retention WHERE domain_id IS NULL));
    part record;
    empty boolean;
BEGIN
    -- 0x564F4950 'VOIP', 1: with whoever makes partitions.
    PERFORM pg_advisory_xact_lock(x'564F4950'::int, 1);
    -- A month that ended lately may be empty because nobody called; it is not worth a lock.
    FOR part IN SELECT p.name, p.to_time FROM voip.cdr_partitions() p WHERE p.to_time < now() - interval '1 month' LOOP
        EXECUTE format('SELECT NOT EXISTS (SELECT FROM voip.%I)', part.name) INTO empty;
        IF empty OR part.to_time <= now() - longest * interval '1 day' THEN
            EXECUTE format('ALTER TABLE voip.cdr DETACH PARTITION voip.%I', part.name);
            EXECUTE format('DROP TABLE voip.%I', part.name);
            RETURN part.name;
        END IF;
    END LOOP;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION voip.drop_expired_cdr_partition() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION voip.drop_expired_cdr_partition() TO voip_admin;

-- Deletes calls whose tenant keeps them no longer, each with all its legs; so many calls of each tenant at most. How many
-- rows that were.
CREATE FUNCTION voip.delete_expired_cdr(p_calls_max integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog SET timezone = 'UTC'
AS $$
DECLARE
    common integer := (SELECT days FROM voip.cdr_retention WHERE domain_id IS NULL);
    kept record;
    piece bigint;
    total bigint := 0;
BEGIN
    FOR kept IN
        SELECT d.id AS domain_id, coalesce(r.days, common) AS days
          FROM (SELECT id FROM voip.domains UNION ALL SELECT NULL) d
          LEFT JOIN voip.cdr_retention r ON r.domain_id = d.id
         WHERE coalesce(r.days, common) IS NOT NULL
    LOOP
        -- One look-up a call: OFFSET 0 and LATERAL keep the planner from reading months.
        WITH expired AS MATERIALIZED (
            SELECT h.call_uuid, h.start_time FROM voip.cdr h
             WHERE h.head AND h.start_time < now() - kept.days * interval '1 day'
               AND (h.domain_id = kept.domain_id OR (h.domain_id IS NULL AND kept.domain_id IS NULL))
             ORDER BY h.start_time LIMIT p_calls_max)
        DELETE FROM voip.cdr c USING expired e
         WHERE c.call_uuid = e.call_uuid
           AND c.start_time BETWEEN e.start_time - interval '7 days' AND e.start_time + interval '7 days';
        GET DIAGNOSTICS piece = ROW_COUNT;
        total := total + piece;
    END LOOP;
    RETURN total;
END $$;
REVOKE ALL ON FUNCTION voip.delete_expired_cdr(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION voip.delete_expired_cdr(integer) TO voip_admin;

-- What became of the documents of each batch, written in its transaction. Rows of hours that are over are added up later: one
-- row an hour and node that every batch updated would make the workers wait for each other.
CREATE TABLE voip.cdr_ledger (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node        text NOT NULL,
    hour        timestamptz NOT NULL,
    legs        bigint NOT NULL,
    events      bigint NOT NULL,
    stored      bigint NOT NULL,
    duplicates  bigint NOT NULL,
    quarantined bigint NOT NULL
);
CREATE INDEX cdr_ledger_by_hour ON voip.cdr_ledger (hour, node);
SELECT voip.guard_platform_table('voip.cdr_ledger');
GRANT SELECT, INSERT, DELETE ON voip.cdr_ledger TO voip_admin;
