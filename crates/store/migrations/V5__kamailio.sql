-- What Kamailio sees, and all it sees: views, one function, and its own table of registrations. Shapes and versions are
-- those of Kamailio 5.6 and 6.0 (its postgres/*-create.sql).

CREATE TABLE kamailio.version (
    id            integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    table_name    varchar(32) NOT NULL CONSTRAINT version_table_name_idx UNIQUE,
    table_version integer NOT NULL DEFAULT 0
);
INSERT INTO kamailio.version (table_name, table_version) VALUES
    ('version', 1), ('location', 9), ('location_attrs', 1), ('subscriber', 7), ('domain', 2), ('domain_attrs', 1);

CREATE TABLE kamailio.location (
    id            serial PRIMARY KEY NOT NULL,
    ruid          varchar(64) DEFAULT '' NOT NULL,
    username      varchar(64) DEFAULT '' NOT NULL,
    domain        varchar(64) DEFAULT NULL,
    contact       varchar(512) DEFAULT '' NOT NULL,
    received      varchar(128) DEFAULT NULL,
    path          varchar(512) DEFAULT NULL,
    expires       timestamp without time zone DEFAULT '2030-05-28 21:32:15' NOT NULL,
    q             real DEFAULT 1.0 NOT NULL,
    callid        varchar(255) DEFAULT 'Default-Call-ID' NOT NULL,
    cseq          integer DEFAULT 1 NOT NULL,
    last_modified timestamp without time zone DEFAULT '2000-01-01 00:00:01' NOT NULL,
    flags         integer DEFAULT 0 NOT NULL,
    cflags        integer DEFAULT 0 NOT NULL,
    user_agent    varchar(255) DEFAULT '' NOT NULL,
    socket        varchar(64) DEFAULT NULL,
    methods       integer DEFAULT NULL,
    instance      varchar(255) DEFAULT NULL,
    reg_id        integer DEFAULT 0 NOT NULL,
    server_id     integer DEFAULT 0 NOT NULL,
    connection_id integer DEFAULT 0 NOT NULL,
    keepalive     integer DEFAULT 0 NOT NULL,
    partition     integer DEFAULT 0 NOT NULL,
    CONSTRAINT location_ruid_idx UNIQUE (ruid)
);
CREATE INDEX location_account_contact_idx ON kamailio.location (username, domain, contact);
CREATE INDEX location_expires_idx ON kamailio.location (expires);
CREATE INDEX location_tcpcon_idx ON kamailio.location (connection_id);
CREATE INDEX location_connection_idx ON kamailio.location (server_id, connection_id);

CREATE TABLE kamailio.location_attrs (
    id            serial PRIMARY KEY NOT NULL,
    ruid          varchar(64) DEFAULT '' NOT NULL,
    username      varchar(64) DEFAULT '' NOT NULL,
    domain        varchar(64) DEFAULT NULL,
    aname         varchar(64) DEFAULT '' NOT NULL,
    atype         integer DEFAULT 0 NOT NULL,
    avalue        varchar(512) DEFAULT '' NOT NULL,
    last_modified timestamp without time zone DEFAULT '2000-01-01 00:00:01' NOT NULL
);
CREATE INDEX location_attrs_account_record_idx ON kamailio.location_attrs (username, domain, ruid);
CREATE INDEX location_attrs_last_modified_idx ON kamailio.location_attrs (last_modified);

-- Kamailio sees every registration; a tenant's view of them is its own domain's.
ALTER TABLE kamailio.location ENABLE ROW LEVEL SECURITY;
ALTER TABLE kamailio.location FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON kamailio.location TO voip_owner USING (true) WITH CHECK (true);
CREATE POLICY kamailio ON kamailio.location TO kamailio USING (true) WITH CHECK (true);
CREATE POLICY tenant ON kamailio.location FOR SELECT TO voip_admin
    USING ((SELECT voip.is_platform()) OR domain = (SELECT d.domain FROM voip.domains d WHERE d.id = voip.tenant_id()));

-- Kamailio 5.6 copies ha1 without a bound, hence left(). Only HA1 exists, no password.
CREATE VIEW kamailio.subscriber WITH (security_barrier = true) AS
SELECT e.id, e.extension AS username, d.domain, ''::varchar(64) AS password,
       left(s.ha1, 64) AS ha1, left(s.ha1b, 64) AS ha1b, left(s.ha1_sha256, 64) AS ha1_sha256
  FROM voip.sip_credentials s
  JOIN voip.extensions e ON e.id = s.extension_id
  JOIN voip.domains d ON d.id = e.domain_id
  JOIN voip.users u ON u.id = e.user_id
 WHERE e.type = 'user' AND e.active AND d.active AND u.active;

CREATE VIEW kamailio.domain WITH (security_barrier = true) AS
SELECT d.id, d.domain::varchar(64) AS domain, d.domain::varchar(64) AS did,
       (d.updated_at AT TIME ZONE 'UTC')::timestamp AS last_modified
  FROM voip.domains d
 WHERE d.active;

-- Empty: the domain module reads it at start.
CREATE VIEW kamailio.domain_attrs AS
SELECT 0 AS id, ''::varchar(64) AS did, ''::varchar(32) AS name, 0 AS type, ''::varchar(255) AS value,
       NULL::timestamp AS last_modified
 WHERE false;

-- A dial pattern as an anchored regular expression; `+` and `*` are digits people dial, not operators.
CREATE FUNCTION voip.pattern_regex(p_pattern text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    SELECT '^' || replace(replace(replace(replace(regexp_replace(p_pattern, '([+*])', '\\\1', 'g'),
        '.', '.+'), 'X', '[0-9]'), 'N', '[2-9]'), 'Z', '[1-9]') || '$'
$$;

-- Where a call from p_caller to p_number goes: no row, or one. The exact number wins over patterns, among patterns the
-- longest literal beginning. `record` says that the policy of either party records a call of this direction
-- (from outside: inbound; to a trunk: outbound; else internal; to a queue also record_queue).
CREATE FUNCTION kamailio.route(p_domain text, p_number text, p_caller text)
RETURNS TABLE (type text, extension text, ref text, need_media boolean, record boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog
AS $$
DECLARE
    callee voip.vw_extensions%ROWTYPE;
    caller voip.vw_extensions%ROWTYPE;
    inside boolean;
BEGIN
    SELECT * INTO callee FROM voip.vw_extensions v
     WHERE v.domain = lower(p_domain) AND v.extension = p_number AND NOT v.is_pattern;
    IF NOT FOUND THEN
        SELECT * INTO callee FROM voip.vw_extensions v
         WHERE v.domain = lower(p_domain) AND v.type = 'trunk_out' AND v.is_pattern AND p_number ~ voip.pattern_regex(v.extension)
         ORDER BY length(substring(v.extension FROM '^[^XNZ.]*')) DESC, length(v.extension) DESC, v.extension
         LIMIT 1;
        IF NOT FOUND THEN
            RETURN;
        END IF;
    END IF;
    SELECT * INTO caller FROM voip.vw_extensions v
     WHERE v.domain = lower(p_domain) AND v.extension = p_caller AND v.type = 'user';
    inside := FOUND;
    RETURN QUERY SELECT callee.type, callee.extension, callee.ref, callee.need_media,
        CASE WHEN callee.type = 'trunk_out' THEN callee.record_outbound OR coalesce(caller.record_outbound, false)
             WHEN inside THEN callee.record_internal OR caller.record_internal
             ELSE callee.record_inbound
        END OR (callee.type = 'queue' AND callee.record_queue);
END $$;

REVOKE ALL ON FUNCTION kamailio.route(text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION kamailio.route(text, text, text) TO kamailio;
GRANT SELECT ON kamailio.version, kamailio.subscriber, kamailio.domain, kamailio.domain_attrs TO kamailio;
GRANT SELECT, INSERT, UPDATE, DELETE ON kamailio.location, kamailio.location_attrs TO kamailio;
GRANT USAGE ON SEQUENCE kamailio.location_id_seq, kamailio.location_attrs_id_seq TO kamailio;
GRANT SELECT ON kamailio.location TO voip_admin;
