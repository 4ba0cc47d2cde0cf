-- A month that looks empty may be getting its first call: the row of a transaction that has not committed is not seen, and
-- detaching waited for it and dropped it. So it is looked at again under the lock that detaching takes anyway, which nobody who
-- writes holds then.
CREATE OR REPLACE FUNCTION voip.drop_expired_cdr_partition() RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog SET timezone = 'UTC' SET lock_timeout = '1s'
AS $$
DECLARE
    -- NULL while somebody's calls are kept for ever.
    longest integer := (SELECT max(days) FROM voip.cdr_retention
                         WHERE EXISTS (SELECT FROM voip.cdr_retention WHERE domain_id IS NULL));
    part record;
    expired boolean;
    empty boolean;
BEGIN
    -- 0x564F4950 'VOIP', 1: with whoever makes partitions.
    PERFORM pg_advisory_xact_lock(x'564F4950'::int, 1);
    -- A month that ended lately may be empty because nobody called; it is not worth a lock.
    FOR part IN SELECT p.name, p.to_time FROM voip.cdr_partitions() p WHERE p.to_time < now() - interval '1 month' LOOP
        expired := coalesce(part.to_time <= now() - longest * interval '1 day', false);
        EXECUTE format('SELECT NOT EXISTS (SELECT FROM voip.%I)', part.name) INTO empty;
        CONTINUE WHEN NOT (empty OR expired);
        LOCK TABLE ONLY voip.cdr IN ACCESS EXCLUSIVE MODE;
        EXECUTE format('SELECT NOT EXISTS (SELECT FROM voip.%I)', part.name) INTO empty;
        CONTINUE WHEN NOT (empty OR expired);
        EXECUTE format('ALTER TABLE voip.cdr DETACH PARTITION voip.%I', part.name);
        EXECUTE format('DROP TABLE voip.%I', part.name);
        RETURN part.name;
    END LOOP;
    RETURN NULL;
END $$;
