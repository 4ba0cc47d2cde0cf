-- Recordings as people look for them, and as the nodes keep them.

ALTER TABLE voip.recordings
    -- The leg's own, as at call time, like the names in voip.cdr: a list needs no join, and outlives the calls' partitions.
    ADD COLUMN direction          text,
    ADD COLUMN caller_id_number   text,
    ADD COLUMN destination_number text,
    ADD COLUMN queue              text,
    ADD COLUMN agent              text,
    -- The policy that said how long it is kept, by its name at call time.
    ADD COLUMN policy             text,
    -- Told by FreeSWITCH when the file was closed; the leg's CDR has not come yet.
    ADD COLUMN provisional        boolean NOT NULL DEFAULT false,
    -- Whoever sets it keeps the recording from retention until it is taken off.
    ADD COLUMN legal_hold         boolean NOT NULL DEFAULT false,
    -- When the owner last compared its file with this row, and when the peer last looked for its copy.
    ADD COLUMN checked_at         timestamptz,
    ADD COLUMN peer_checked_at    timestamptz,
    -- Retention: the owner's file is gone, the peer's copy may not be.
    ADD COLUMN owner_deleted_at   timestamptz,
    DROP CONSTRAINT recordings_state_known,
    ADD CONSTRAINT recordings_state_known CHECK (
        state IN ('recording', 'stored', 'replicated', 'missing', 'changed', 'deleting')),
    ADD CONSTRAINT recordings_held_is_kept CHECK (NOT (legal_hold AND state = 'deleting')),
    ADD CONSTRAINT recordings_sha256_length CHECK (octet_length(sha256) = 32);

CREATE INDEX recordings_by_time ON voip.recordings (start_time DESC, id DESC);
CREATE INDEX recordings_by_caller ON voip.recordings (caller_id_number, start_time DESC);
CREATE INDEX recordings_by_destination ON voip.recordings (destination_number, start_time DESC);
-- What the nodes work on: few rows, and what each looks at again, oldest look first.
CREATE INDEX recordings_at_work ON voip.recordings (node, state) WHERE state IN ('recording', 'missing', 'changed', 'deleting');
CREATE INDEX recordings_to_check ON voip.recordings (node, checked_at NULLS FIRST) WHERE state IN ('stored', 'replicated');
CREATE INDEX recordings_to_copy ON voip.recordings (node, peer_checked_at NULLS FIRST) WHERE state = 'stored';
CREATE INDEX recordings_to_check_copy ON voip.recordings (node, peer_checked_at NULLS FIRST) WHERE state = 'replicated';
CREATE INDEX recordings_to_expire ON voip.recordings (node, expires_at) WHERE NOT legal_hold AND state <> 'deleting';

-- Which policy's retention a recording falls under: of the policies of the dialled number, the queue and the caller those
-- that record such a call, else any of theirs (it was changed meanwhile), else any active one of the tenant (the call was
-- transferred). Of several the one that keeps longest. No row: it is kept until somebody decides.
CREATE FUNCTION voip.retention_of(p_domain_id integer, p_direction text, p_caller text, p_destination text, p_queue text)
RETURNS TABLE (policy text, retention_days integer)
LANGUAGE sql STABLE
AS $$
    SELECT p.name, p.retention_days
      FROM voip.recording_policies p
     CROSS JOIN LATERAL (SELECT
        EXISTS (SELECT FROM voip.extensions e
                 WHERE e.domain_id = p_domain_id AND e.recording_policy_id = p.id
                   AND (e.extension IN (p_destination, p_caller)
                        OR e.queue_id = (SELECT q.id FROM voip.queues q WHERE q.domain_id = p_domain_id AND q.name = p_queue)
                        OR e.type = 'trunk_out' AND e.extension ~ '[XNZ.]'
                           AND p_destination ~ voip.pattern_regex(e.extension))) AS theirs,
        CASE p_direction WHEN 'inbound' THEN p.record_inbound WHEN 'outbound' THEN p.record_outbound
                         ELSE p.record_internal END OR (p_queue IS NOT NULL AND p.record_queue) AS records) AS it
     WHERE p.domain_id = p_domain_id AND (it.theirs OR p.active)
     ORDER BY it.theirs DESC, it.records DESC, p.retention_days DESC, p.id
     LIMIT 1
$$;
