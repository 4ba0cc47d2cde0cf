-- Every change of configuration is announced on the channel `voip_changed` as {"table", "domain", "key"}: voipadmind
-- drops what it has cached, and tells Kamailio to. A listener that was away drops everything instead.
-- `key` is what a cache is keyed by (the number, the name); null when the row's owner is already gone.

CREATE FUNCTION voip.notify_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog
AS $$
DECLARE
    changed jsonb;
    domain_name text;
    key text;
BEGIN
    IF TG_OP = 'UPDATE' AND OLD IS NOT DISTINCT FROM NEW THEN
        RETURN NULL;
    END IF;
    -- A rename concerns both names.
    FOR changed IN
        SELECT to_jsonb(OLD) WHERE TG_OP <> 'INSERT' UNION SELECT to_jsonb(NEW) WHERE TG_OP <> 'DELETE'
    LOOP
        IF TG_TABLE_NAME = 'domains' THEN
            domain_name := changed ->> 'domain';
        ELSE
            SELECT d.domain INTO domain_name FROM voip.domains d WHERE d.id = (changed ->> 'domain_id')::integer;
        END IF;
        key := CASE TG_TABLE_NAME
            WHEN 'sip_credentials' THEN
                (SELECT e.extension FROM voip.extensions e WHERE e.id = (changed ->> 'extension_id')::integer)
            WHEN 'queue_members' THEN
                (SELECT q.name FROM voip.queues q WHERE q.id = (changed ->> 'queue_id')::integer)
            WHEN 'ivr_entries' THEN
                (SELECT i.name FROM voip.ivr_menus i WHERE i.id = (changed ->> 'ivr_id')::integer)
            ELSE changed ->> TG_ARGV[0]
        END;
        PERFORM pg_notify('voip_changed',
            json_build_object('table', TG_TABLE_NAME, 'domain', domain_name, 'key', key)::text);
    END LOOP;
    RETURN NULL;
END $$;

DO $$
DECLARE
    watched record;
BEGIN
    FOR watched IN SELECT * FROM (VALUES
        ('domains', 'domain'), ('users', 'username'), ('extensions', 'extension'), ('sip_credentials', ''),
        ('queues', 'name'), ('queue_members', ''), ('ivr_menus', 'name'), ('ivr_entries', ''), ('trunks', 'name'),
        ('recording_policies', 'name'), ('voicemail_boxes', 'mailbox'), ('conferences', 'name'),
        ('api_keys', 'prefix')) AS t (name, key)
    LOOP
        EXECUTE format('CREATE TRIGGER notify_change AFTER INSERT OR UPDATE OR DELETE ON voip.%I '
                       'FOR EACH ROW EXECUTE FUNCTION voip.notify_change(%L)', watched.name, watched.key);
    END LOOP;
END $$;
