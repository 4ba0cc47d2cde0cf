-- Accounting: one row a leg, partitioned by UTC month of start_time, without foreign keys in or out (partitions must
-- detach, queues must be deletable): names and ids are as at call time.

CREATE SEQUENCE voip.cdr_id_seq AS bigint;

CREATE TABLE voip.cdr (
    -- Chosen by FreeSWITCH's callers: any text.
    leg_uuid           text NOT NULL,
    start_time         timestamptz NOT NULL,
    id                 bigint NOT NULL DEFAULT nextval('voip.cdr_id_seq'),
    -- The root leg's uuid, as far as it is known; `head` marks the one row that stands for the call in lists.
    call_uuid          text NOT NULL,
    head               boolean NOT NULL,
    parent_uuid        text,
    bleg_uuid          text,
    source             text NOT NULL
        CONSTRAINT cdr_source_known CHECK (source IN ('freeswitch', 'kamailio', 'media-double')),
    -- Written at answer or at a node's death; the true row replaces it, never the other way.
    provisional        boolean NOT NULL,
    vp_call            text,
    domain             text,
    domain_id          integer,
    direction          text NOT NULL
        CONSTRAINT cdr_direction_known CHECK (direction IN ('inbound', 'outbound', 'internal')),
    leg_direction      text NOT NULL CONSTRAINT cdr_leg_direction_known CHECK (leg_direction IN ('inbound', 'outbound')),
    caller_id_number   text,
    caller_id_name     text,
    destination_number text,
    context            text,
    answer_time        timestamptz,
    end_time           timestamptz,
    duration           integer NOT NULL,
    billsec            integer NOT NULL,
    hangup_cause       text,
    hangup_cause_q850  smallint,
    queue              text,
    queue_id           integer,
    agent              text,
    agent_user_id      integer,
    sip_call_id        text,
    core_uuid          text,
    recorded           boolean NOT NULL,
    node               text NOT NULL,
    created_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (leg_uuid, start_time)
) PARTITION BY RANGE (start_time);
ALTER SEQUENCE voip.cdr_id_seq OWNED BY voip.cdr.id;

CREATE INDEX cdr_calls ON voip.cdr (start_time DESC, id DESC) WHERE head;
CREATE INDEX cdr_calls_of_domain ON voip.cdr (domain_id, start_time DESC, id DESC) WHERE head;
CREATE INDEX cdr_calls_by_caller ON voip.cdr (caller_id_number, start_time DESC) WHERE head;
CREATE INDEX cdr_calls_by_destination ON voip.cdr (destination_number, start_time DESC) WHERE head;
-- Together with cdr_calls the list of legs. Two partial indexes and no whole one: then no index on time can serve a
-- look-up by uuid, which a planner without statistics (a month that has just begun) would choose as soon as not.
CREATE INDEX cdr_other_legs ON voip.cdr (start_time DESC, id DESC) WHERE NOT head;
CREATE INDEX cdr_calls_by_queue ON voip.cdr (queue, start_time DESC) WHERE head AND queue IS NOT NULL;
CREATE INDEX cdr_by_call ON voip.cdr (call_uuid, start_time);
CREATE INDEX cdr_by_sip_call_id ON voip.cdr (sip_call_id) WHERE sip_call_id IS NOT NULL;
SELECT voip.guard_tenant_table('voip.cdr');
GRANT SELECT, INSERT, UPDATE ON voip.cdr TO voip_admin;
GRANT USAGE ON SEQUENCE voip.cdr_id_seq TO voip_admin;

-- A clock that is wrong by decades must not cost a partition a month, nor a row: two outer partitions take them.
CREATE TABLE voip.cdr_before_2000 PARTITION OF voip.cdr FOR VALUES FROM (MINVALUE) TO ('2000-01-01 00:00:00+00');
CREATE TABLE voip.cdr_from_2100 PARTITION OF voip.cdr FOR VALUES FROM ('2100-01-01 00:00:00+00') TO (MAXVALUE);

-- Makes sure that a row of this start_time has its partition; true when it was made now. Built aside and attached,
-- because ATTACH lets writers and readers of the other months go on, where PARTITION OF would stop them all.
CREATE FUNCTION voip.ensure_cdr_partition(p_at timestamptz) RETURNS boolean
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
    EXECUTE format('CREATE TABLE voip.%I (LIKE voip.cdr INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part);
    EXECUTE format('ALTER TABLE voip.cdr ATTACH PARTITION voip.%I FOR VALUES FROM (%L) TO (%L)',
                   part, month, month + interval '1 month');
    -- Nobody is granted a partition; the guard is for whoever grants one by mistake.
    PERFORM voip.guard_tenant_table(format('voip.%I', part)::regclass);
    RETURN true;
END $$;
REVOKE ALL ON FUNCTION voip.ensure_cdr_partition(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION voip.ensure_cdr_partition(timestamptz) TO voip_admin;

SELECT voip.guard_tenant_table(t) FROM unnest('{voip.cdr_before_2000, voip.cdr_from_2100}'::regclass[]) t;
SELECT voip.ensure_cdr_partition(now() + n * interval '1 month') FROM generate_series(0, 3) n;

-- Which journal records are stored, written in the transaction that stored them: a failover that drops the rows drops
-- their receipts too, so a journal never forgets a record that is not there.
CREATE TABLE voip.cdr_receipts (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    journal_id uuid NOT NULL,
    seqs       bigint[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX cdr_receipts_by_journal ON voip.cdr_receipts (journal_id, id);

-- What could not be understood or stored, kept whole. The same bytes are kept once.
CREATE TABLE voip.cdr_quarantine (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sha256      bytea NOT NULL CONSTRAINT cdr_quarantine_sha256_unique UNIQUE,
    body        bytea NOT NULL,
    reason      text NOT NULL,
    source      text NOT NULL,
    uuid        text,
    node        text NOT NULL,
    received_at timestamptz NOT NULL,
    last_at     timestamptz NOT NULL,
    times       integer NOT NULL DEFAULT 1,
    state       text NOT NULL DEFAULT 'held'
        CONSTRAINT cdr_quarantine_state_known CHECK (state IN ('held', 'imported', 'discarded')),
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX cdr_quarantine_held ON voip.cdr_quarantine (received_at DESC, id DESC) WHERE state = 'held';

-- Kamailio's evidence of a dialog, gathered from events that arrive in any order (design: accounting, 9). An event that
-- knows only the tags of a BYE finds its dialog by Call-ID.
CREATE TABLE voip.sip_dialogs (
    call_id    text NOT NULL,
    from_tag   text NOT NULL,
    evidence   jsonb NOT NULL,
    node       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (call_id, from_tag)
);
CREATE INDEX sip_dialogs_by_age ON voip.sip_dialogs (updated_at);

SELECT voip.guard_platform_table(t)
  FROM unnest('{voip.cdr_receipts, voip.cdr_quarantine, voip.sip_dialogs}'::regclass[]) t;
GRANT SELECT, INSERT, DELETE ON voip.cdr_receipts TO voip_admin;
GRANT SELECT, INSERT, UPDATE ON voip.cdr_quarantine TO voip_admin;
GRANT SELECT, INSERT, UPDATE, DELETE ON voip.sip_dialogs TO voip_admin;

-- A recording belongs to the leg (leg_uuid, start_time): the leg's row may arrive after it, so no foreign key.
CREATE TABLE voip.recordings (
    id                bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    leg_uuid          text NOT NULL,
    start_time        timestamptz NOT NULL,
    domain_id         integer,
    domain            text,
    -- The node whose tree it lies in, and the path under that tree: never a tenant's to set.
    node              text NOT NULL,
    file_path         text NOT NULL,
    file_size         bigint,
    duration          integer,
    format            text NOT NULL DEFAULT 'wav',
    sha256            bytea,
    state             text NOT NULL DEFAULT 'recording'
        CONSTRAINT recordings_state_known CHECK (state IN ('recording', 'stored', 'replicated', 'missing')),
    record_start_time timestamptz,
    record_end_time   timestamptz,
    expires_at        timestamptz,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT recordings_file_unique UNIQUE (node, file_path),
    CONSTRAINT recordings_file_path_form CHECK (file_path !~ '(^/|\.\.)' AND length(file_path) <= 500)
);
CREATE INDEX recordings_by_leg ON voip.recordings (leg_uuid, start_time);
CREATE INDEX recordings_of_domain ON voip.recordings (domain_id, start_time DESC, id DESC);
SELECT voip.guard_tenant_table('voip.recordings');
SELECT voip.keep_updated_at('voip.recordings');
GRANT SELECT, INSERT, UPDATE, DELETE ON voip.recordings TO voip_admin;
