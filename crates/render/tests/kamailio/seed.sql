-- Two tenants. A phone's password is `pw` and its number. 1008 needs media, 1009 is recorded.
SET ROLE voip_owner;

INSERT INTO voip.domains (id, domain) VALUES (1, 'default.local'), (2, 'other.local');

INSERT INTO voip.users (id, domain_id, username)
SELECT n, 1, n::text FROM generate_series(1001, 1010) n
UNION ALL SELECT 2001, 2, '2001';

INSERT INTO voip.recording_policies (id, domain_id, name, record_internal) VALUES (1, 1, 'always', true);

INSERT INTO voip.extensions (id, domain_id, extension, type, user_id, need_media, recording_policy_id)
SELECT u.id, u.domain_id, u.username, 'user', u.id, u.username = '1008', CASE u.username WHEN '1009' THEN 1 END
  FROM voip.users u;

INSERT INTO voip.sip_credentials (extension_id, domain_id, ha1)
SELECT e.id, e.domain_id, md5(e.extension || ':' || d.domain || ':pw' || e.extension)
  FROM voip.extensions e JOIN voip.domains d ON d.id = e.domain_id;

INSERT INTO voip.queues (id, domain_id, name) VALUES (1, 1, 'support');
INSERT INTO voip.ivr_menus (id, domain_id, name) VALUES (1, 1, 'main');
INSERT INTO voip.trunks (id, domain_id, name, host) VALUES (1, 1, 'carrier', '192.0.2.1');

INSERT INTO voip.extensions (domain_id, extension, type, queue_id, ivr_id, trunk_id) VALUES
    (1, '8001', 'queue', 1, NULL, NULL),
    (1, '9001', 'ivr', NULL, 1, NULL),
    (1, '0XXXXXXXXX', 'trunk_out', NULL, NULL, 1);
