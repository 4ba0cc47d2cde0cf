ALTER TABLE voip.cdr
    ADD COLUMN IF NOT EXISTS wait_seconds integer,
    ADD COLUMN IF NOT EXISTS talk_seconds integer,
    ADD COLUMN IF NOT EXISTS status text,
    ADD COLUMN IF NOT EXISTS hangup_by text;
