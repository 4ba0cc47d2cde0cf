-- What a call was. In the row that stands for a call (`head`) these four, and direction, queue and agent, are the call's,
-- made of all its legs (crate model, `call`); in every other row they are the leg's own.
ALTER TABLE voip.cdr
    ADD COLUMN status       text
        CONSTRAINT cdr_status_known CHECK (status IN ('answered', 'voicemail', 'abandoned', 'missed', 'busy', 'rejected',
                                                      'failed', 'elsewhere')),
    ADD COLUMN wait_seconds integer,
    ADD COLUMN talk_seconds integer,
    ADD COLUMN hangup_by    text CONSTRAINT cdr_hangup_by_known CHECK (hangup_by IN ('caller', 'callee', 'system')),
    -- What the leg says itself, from which the above are made anew whenever a leg arrives.
    ADD COLUMN facts        jsonb,
    -- What happened on the leg; a call's timeline is put together of these when it is read.
    ADD COLUMN events       jsonb NOT NULL DEFAULT '[]',
    -- The root of another call that an attended transfer joined to this leg's.
    ADD COLUMN consult_uuid text,
    -- Of a leg that goes on, written at answer: when its FreeSWITCH last had it. What is not seen any more is closed.
    ADD COLUMN last_seen    timestamptz;

CREATE INDEX cdr_by_consult ON voip.cdr (consult_uuid) WHERE consult_uuid IS NOT NULL;
-- Few: what goes on, and what died.
CREATE INDEX cdr_provisional ON voip.cdr (leg_uuid) WHERE provisional;
