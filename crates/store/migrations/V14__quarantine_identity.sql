-- Two calls can leave the same bytes, '[]' or the same first half: their uuids tell them apart, and each is kept. Without a uuid
-- the bytes alone do, as before.
ALTER TABLE voip.cdr_quarantine
    DROP CONSTRAINT cdr_quarantine_sha256_unique,
    ADD CONSTRAINT cdr_quarantine_identity UNIQUE NULLS NOT DISTINCT (sha256, uuid);
