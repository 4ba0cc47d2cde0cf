-- Search over years of calls, and the feed of changes in the order they were committed.

-- What a search compares must be a bare column: under row-level security an index serves no function that could leak its
-- argument, and reverse() and lower() are not marked as harmless.
ALTER TABLE voip.cdr
    ADD COLUMN trunk text,
    ADD COLUMN caller_reversed text GENERATED ALWAYS AS (reverse(caller_id_number)) STORED,
    ADD COLUMN destination_reversed text GENERATED ALWAYS AS (reverse(destination_number)) STORED,
    ADD COLUMN caller_name_folded text GENERATED ALWAYS AS (lower(caller_id_name)) STORED,
    -- The transaction that wrote the row last. All below the oldest one still running are seen by everybody, for good.
    ADD COLUMN xid xid8 NOT NULL DEFAULT pg_current_xact_id();

-- Whoever changes what a row tells makes it come again. A trigger, so that no UPDATE can forget it.
CREATE FUNCTION voip.tell_cdr_change() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    NEW.xid := pg_current_xact_id();
    RETURN NEW;
END $$;
CREATE TRIGGER tell_cdr_change
    BEFORE UPDATE OF call_uuid, head, provisional, answer_time, end_time, duration, billsec, hangup_cause, recorded,
        status, wait_seconds, talk_seconds, hangup_by ON voip.cdr
    FOR EACH ROW EXECUTE FUNCTION voip.tell_cdr_change();

-- A partition is built aside, so that it must have the generated columns before it is attached.
CREATE OR REPLACE FUNCTION voip.ensure_cdr_partition(p_at timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog SET timezone = 'UTC'
AS $$
DECLARE
    month timestamptz := date_trunc('month', p_at);
    part text := 'cdr_' || to_char(month, 'YYYY_MM');
BEGIN
    IF p_at < '2000-01-01' OR p_at >= '2100-01-01' OR to_regclass(format('voip.%I', part)) IS NOT NULL THEN
        RETURN false;
    END IF;
    -- 0x564F4950 'VOIP', 1: workers of both nodes meet the first call of a month at once.
    PERFORM pg_advisory_xact_lock(x'564F4950'::int, 1);
    IF to_regclass(format('voip.%I', part)) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE voip.%I (LIKE voip.cdr INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED)',
                   part);
    EXECUTE format('ALTER TABLE voip.cdr ATTACH PARTITION voip.%I FOR VALUES FROM (%L) TO (%L)',
                   part, month, month + interval '1 month');
    -- Nobody is granted a partition; the guard is for whoever grants one by mistake.
    PERFORM voip.guard_tenant_table(format('voip.%I', part)::regclass);
    RETURN true;
END $$;

CREATE INDEX cdr_by_agent ON voip.cdr (agent, start_time DESC) WHERE agent IS NOT NULL;
CREATE INDEX cdr_by_trunk ON voip.cdr (trunk, start_time DESC) WHERE trunk IS NOT NULL;
CREATE INDEX cdr_other_legs_by_destination ON voip.cdr (destination_number, start_time DESC) WHERE NOT head;
CREATE INDEX cdr_calls_by_caller_reversed ON voip.cdr (caller_reversed) WHERE head;
CREATE INDEX cdr_calls_by_destination_reversed ON voip.cdr (destination_reversed) WHERE head;
CREATE INDEX cdr_calls_by_name ON voip.cdr (caller_name_folded, start_time DESC) WHERE head;
-- Nine in ten calls end like this: who looks for those walks the list.
CREATE INDEX cdr_calls_by_cause ON voip.cdr (hangup_cause, start_time DESC)
    WHERE head AND hangup_cause <> 'NORMAL_CLEARING';
CREATE INDEX cdr_calls_by_status ON voip.cdr (status, start_time DESC) WHERE head AND status <> 'answered';
CREATE INDEX cdr_by_change ON voip.cdr (xid, id);
