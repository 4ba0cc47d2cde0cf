-- Does every session that FreeSWITCH ended have its record? FreeSWITCH numbers the sessions of a run (Core-UUID) from 1 without a
-- gap. Who heard them end writes their numbers down, and the transaction that stores their documents does: a number of the one
-- and not of the other is a record that is missing. Sets, so that whatever is told twice, late or in any order changes nothing.
CREATE TABLE voip.cdr_sessions (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node      text NOT NULL,
    core_uuid text NOT NULL,
    -- In which they ended, or in which their documents came.
    hour      timestamptz NOT NULL,
    -- ended: and owe a record; exempt: and owe none; unheard: ended while nobody listened, so nobody knows which of the two;
    -- document: a record of them came.
    told      text NOT NULL CONSTRAINT cdr_sessions_told_known CHECK (told IN ('ended', 'exempt', 'unheard', 'document')),
    numbers   int8multirange NOT NULL,
    told_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX cdr_sessions_by_core ON voip.cdr_sessions (core_uuid);
CREATE INDEX cdr_sessions_by_hour ON voip.cdr_sessions (hour);

-- The uuids of those that had no record when their end was told, so that one that stays missing can be named.
CREATE TABLE voip.cdr_sessions_owing (
    core_uuid text NOT NULL,
    number    bigint NOT NULL,
    leg_uuid  text NOT NULL,
    ended_at  timestamptz NOT NULL,
    PRIMARY KEY (core_uuid, number)
);
CREATE INDEX cdr_quarantine_by_uuid ON voip.cdr_quarantine (uuid) WHERE uuid IS NOT NULL;

SELECT voip.guard_platform_table(t) FROM unnest('{voip.cdr_sessions, voip.cdr_sessions_owing}'::regclass[]) t;
GRANT SELECT, INSERT, DELETE ON voip.cdr_sessions, voip.cdr_sessions_owing TO voip_admin;

CREATE FUNCTION voip.how_many(p_numbers int8multirange) RETURNS bigint
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog
AS $$
    SELECT coalesce(sum(upper(r) - lower(r)), 0)::bigint FROM unnest(p_numbers) r
$$;

-- What became of the sessions that ended in these hours. A record may have come at any time; a document in quarantine is one;
-- what was told lately may still be on its way; and the end of one that nobody heard may have been heard after all.
CREATE FUNCTION voip.session_hours(p_from timestamptz, p_to timestamptz, p_pending_max interval)
RETURNS TABLE (node text, core_uuid text, hour timestamptz, ended int8multirange, exempt int8multirange,
               pending int8multirange, missing int8multirange, unheard int8multirange)
LANGUAGE sql STABLE SET search_path = pg_catalog
AS $$
    WITH told AS MATERIALIZED (
        SELECT s.node, s.core_uuid, s.hour,
               coalesce(range_agg(s.numbers) FILTER (WHERE s.told = 'ended'), '{}') AS ended,
               coalesce(range_agg(s.numbers) FILTER (WHERE s.told = 'ended' AND s.told_at > now() - p_pending_max), '{}') AS fresh,
               coalesce(range_agg(s.numbers) FILTER (WHERE s.told = 'exempt'), '{}') AS exempt,
               coalesce(range_agg(s.numbers) FILTER (WHERE s.told = 'unheard'), '{}') AS unheard
          FROM voip.cdr_sessions s
         WHERE s.hour >= p_from AND s.hour < p_to AND s.told <> 'document'
         GROUP BY s.node, s.core_uuid, s.hour),
    known AS MATERIALIZED (
        SELECT s.core_uuid,
               coalesce(range_agg(s.numbers) FILTER (WHERE s.told = 'document'), '{}') AS documents,
               coalesce(range_agg(s.numbers) FILTER (WHERE s.told IN ('ended', 'exempt')), '{}') AS heard
          FROM voip.cdr_sessions s
         WHERE s.core_uuid IN (SELECT t.core_uuid FROM told t)
         GROUP BY s.core_uuid),
    quarantined AS MATERIALIZED (
        SELECT o.core_uuid, range_agg(int8range(o.number, o.number, '[]')) AS numbers
          FROM voip.cdr_sessions_owing o
         WHERE EXISTS (SELECT FROM voip.cdr_quarantine q WHERE q.uuid = o.leg_uuid)
         GROUP BY o.core_uuid),
    settled AS (
        SELECT k.core_uuid, k.heard, k.documents + coalesce(q.numbers, '{}') AS numbers
          FROM known k LEFT JOIN quarantined q USING (core_uuid))
    SELECT t.node, t.core_uuid, t.hour, t.ended + (t.unheard - s.heard), t.exempt,
           t.fresh - s.numbers, t.ended - t.fresh - s.numbers, t.unheard - s.heard - s.numbers
      FROM told t JOIN settled s USING (core_uuid)
$$;
REVOKE ALL ON FUNCTION voip.how_many(int8multirange), voip.session_hours(timestamptz, timestamptz, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION voip.how_many(int8multirange), voip.session_hours(timestamptz, timestamptz, interval)
    TO voip_admin;
