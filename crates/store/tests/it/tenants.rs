//! Tenants never see each other, and no role can do more than its work.

use store::Scope;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::common::{A, B, Fixture, item, leg, leg_item};

/// Rows of every kind in both tenants, so that a leak has something to show.
async fn furnish(fixture: &Fixture) {
    let superuser = fixture.superuser().await;
    superuser
        .batch_execute(
            "INSERT INTO voip.voicemail_boxes (domain_id, mailbox) SELECT id, '1001' FROM voip.domains;
             INSERT INTO voip.api_keys (key_name, prefix, key_hash, domain_id)
                SELECT 'key', 'prefix' || id, sha256('x'), id FROM voip.domains;
             INSERT INTO voip.audit_log (who, action, entity, entity_id, domain_id)
                SELECT 'test', 'create', 'x', '1', id FROM voip.domains;
             INSERT INTO voip.idempotency_keys (who, key, request_sha256, domain_id)
                SELECT 'test', domain, sha256('x'), id FROM voip.domains;
             INSERT INTO voip.cdr_retention (domain_id, days) SELECT id, 36500 FROM voip.domains;
             INSERT INTO voip.recordings (leg_uuid, start_time, domain_id, node, file_path)
                SELECT 'x', now(), id, 'n1', domain FROM voip.domains;
             INSERT INTO voip.cdr_sessions (node, core_uuid, hour, told, numbers) VALUES ('n1', 'x', now(), 'ended', '{[1,2)}');
             INSERT INTO voip.cdr_sessions_owing (core_uuid, number, leg_uuid, ended_at) VALUES ('x', 1, 'x', now());
             INSERT INTO kamailio.location (ruid, username, domain) SELECT domain, '1001', domain FROM voip.domains",
        )
        .await
        .unwrap();
    let legs: Vec<_> = (1..)
        .zip([A, B, "unknown.example"])
        .map(|(seq, domain)| {
            let mut made = leg(domain, None, "2026-11-22T12:00:00Z");
            made.domain = Some(domain.to_owned());
            leg_item(seq, made)
        })
        .collect();
    fixture.store.commit_cdr_batch(&legs).await.unwrap();
    let poison = store::Content::Poison { reason: "x".to_owned(), source: "x".to_owned(), uuid: None };
    fixture.store.commit_cdr_batch(&[item(9, poison)]).await.unwrap();
    superuser
        .batch_execute(
            "INSERT INTO voip.sip_dialogs (call_id, from_tag, evidence, node) VALUES ('x', 'y', '{}', 'n1')",
        )
        .await
        .unwrap();
}

async fn count(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}")).get(0)
}

#[tokio::test]
async fn a_tenant_sees_its_own_rows_in_every_table_and_nobody_elses() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    furnish(&fixture).await;
    let superuser = fixture.superuser().await;
    let rows = superuser
        .query(
            "SELECT c.oid::regclass::text, c.relrowsecurity AND c.relforcerowsecurity,
                    (SELECT a.attname FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'domain_id'),
                    c.relispartition
               FROM pg_class c WHERE c.relnamespace IN ('voip'::regnamespace, 'kamailio'::regnamespace)
                AND c.relkind IN ('r', 'p')
                AND c.relname NOT IN ('schema_history', 'version', 'location_attrs') ORDER BY 1",
            &[],
        )
        .await
        .unwrap();
    assert!(rows.len() > 20);
    let (a, b) = (fixture.domain_id(A).await, fixture.domain_id(B).await);
    let admin = fixture.role("voip_admin").await;
    for row in rows {
        let (table, forced, column, partition): (&str, bool, Option<&str>, bool) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        assert!(forced, "{table} has forced row-level security");
        if partition {
            let error = admin.query(&format!("SELECT 1 FROM {table}"), &[]).await.unwrap_err();
            assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{table}");
            continue;
        }
        let all = count(&superuser, &format!("SELECT count(*) FROM {table}")).await;
        let seen = async |tenant: &str, wanted: &str| {
            admin.batch_execute(&format!("BEGIN; SET LOCAL voip.tenant = '{tenant}'")).await.unwrap();
            let counted = count(&admin, &format!("SELECT count(*) FROM {table} {wanted}")).await;
            admin.batch_execute("ROLLBACK").await.unwrap();
            counted
        };
        // Credentials can be counted by what the role may read of them.
        assert!(all > 0, "{table} has something to hide");
        assert_eq!(seen("*", "").await, all, "{table}: the platform sees all");
        assert_eq!(seen("", "").await, 0, "{table}: who names no tenant sees nothing");
        let own = match (table, column) {
            ("voip.domains", _) => (format!("WHERE id = {a}"), format!("WHERE id = {b}")),
            ("kamailio.location", _) => (format!("WHERE domain = '{A}'"), format!("WHERE domain = '{B}'")),
            (_, Some(_)) => (format!("WHERE domain_id = {a}"), format!("WHERE domain_id = {b}")),
            (_, None) => {
                assert_eq!(seen(&a.to_string(), "").await, 0, "{table}: the platform's alone");
                continue;
            }
        };
        let tenants_own = count(&superuser, &format!("SELECT count(*) FROM {table} {}", own.0)).await;
        assert!(tenants_own > 0, "{table}");
        assert_eq!(seen(&a.to_string(), "").await, tenants_own, "{table}: its own, all of it");
        assert_eq!(seen(&a.to_string(), &own.1).await, 0, "{table}: nothing of another's");
    }
}

#[tokio::test]
async fn a_tenant_cannot_write_for_another_nor_refer_to_him() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let (a, b) = (fixture.domain_id(A).await, fixture.domain_id(B).await);
    let admin = fixture.role("voip_admin").await;
    let refused = async |tenant: &str, sql: &str| {
        admin.batch_execute(&format!("BEGIN; SET LOCAL voip.tenant = '{tenant}'")).await.unwrap();
        let result = admin.execute(sql, &[]).await;
        admin.batch_execute("ROLLBACK").await.unwrap();
        result.map_err(|error| error.code().cloned())
    };
    let tenant = a.to_string();
    let insert = format!("INSERT INTO voip.users (domain_id, username) VALUES ({b}, 'intruder')");
    assert_eq!(refused(&tenant, &insert).await, Err(Some(SqlState::INSUFFICIENT_PRIVILEGE)));
    let take = format!("UPDATE voip.users SET domain_id = {a} WHERE domain_id = {b}");
    assert_eq!(refused(&tenant, &take).await, Ok(0));
    let give = format!("UPDATE voip.users SET domain_id = {b} WHERE username = '1003'");
    assert_eq!(refused(&tenant, &give).await, Err(Some(SqlState::INSUFFICIENT_PRIVILEGE)));
    assert_eq!(refused(&tenant, "DELETE FROM voip.cdr").await, Err(Some(SqlState::INSUFFICIENT_PRIVILEGE)));
    // Not even the platform can make one tenant's number reach another's queue.
    let across = format!(
        "INSERT INTO voip.extensions (domain_id, extension, type, queue_id)
         SELECT {a}, '8002', 'queue', id FROM voip.queues WHERE domain_id = {b}"
    );
    assert_eq!(refused("*", &across).await, Err(Some(SqlState::FOREIGN_KEY_VIOLATION)));
    for sql in [
        "UPDATE voip.audit_log SET who = 'x'",
        "DELETE FROM voip.audit_log",
        "DROP TABLE voip.users",
        "CREATE TABLE voip.x ()",
        "SELECT ha1 FROM voip.sip_credentials",
        "ALTER TABLE voip.users DISABLE ROW LEVEL SECURITY",
        "TRUNCATE voip.users",
    ] {
        assert_eq!(refused("*", sql).await, Err(Some(SqlState::INSUFFICIENT_PRIVILEGE)), "{sql}");
    }
}

#[tokio::test]
async fn roles_own_nothing_and_kamailio_reads_its_views_only() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let superuser = fixture.superuser().await;
    let foreign = count(
        &superuser,
        "SELECT count(*) FROM pg_class WHERE relnamespace IN
            ('voip'::regnamespace, 'kamailio'::regnamespace, 'monitoring'::regnamespace)
            AND relowner <> 'voip_owner'::regrole",
    )
    .await;
    assert_eq!(foreign, 0);
    let rows = superuser
        .query("SELECT c.oid::regclass::text FROM pg_class c WHERE c.relkind IN ('r', 'p', 'v') AND
            c.relnamespace IN ('voip'::regnamespace, 'kamailio'::regnamespace, 'monitoring'::regnamespace)
            AND has_table_privilege('kamailio', c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE') ORDER BY 1", &[])
        .await
        .unwrap();
    let may: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(
        may,
        [
            "kamailio.domain",
            "kamailio.domain_attrs",
            "kamailio.location",
            "kamailio.location_attrs",
            "kamailio.subscriber",
            "kamailio.version"
        ]
    );
    let kamailio = fixture.role("kamailio").await;
    // As Kamailio asks: without a schema.
    assert_eq!(
        count(&kamailio, "SELECT count(*) FROM subscriber WHERE domain = 'a.example' AND length(ha1) = 32")
            .await,
        3
    );
    assert_eq!(count(&kamailio, "SELECT count(*) FROM domain").await, 2);
    assert_eq!(
        count(&kamailio, "SELECT table_version::bigint FROM version WHERE table_name = 'location'").await,
        9
    );
    kamailio
        .batch_execute("INSERT INTO location (ruid, username) VALUES ('r', '1001'); DELETE FROM location")
        .await
        .unwrap();
    for sql in [
        "SELECT 1 FROM voip.users",
        "SELECT voip.directory_user('a.example', '1001')",
        "CREATE TABLE x ()",
        "DELETE FROM version",
        "SELECT voip.ensure_cdr_partition(now())",
    ] {
        let error = kamailio.batch_execute(sql).await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{sql}");
    }
    let exporter = fixture.role("exporter").await;
    assert!(exporter.batch_execute("SELECT 1 FROM voip.users").await.is_err());
    exporter.batch_execute("SELECT replay_lsn FROM pg_stat_replication").await.unwrap();
}

#[tokio::test]
async fn the_directory_knows_active_users_only() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = &fixture.store;
    assert!(store.directory_user(A, "1001").await.unwrap().is_some());
    for (domain, user) in [
        (A, "8001"),
        (A, "2000"),
        ("c.example", "1001"),
        (A, ""),
        ("", "1001"),
        (A, "1001' OR '1'='1"),
        (A, "10\u{0}01"),
    ] {
        assert!(matches!(
            store.directory_user(domain, user).await,
            Ok(None) | Err(store::Error::Invalid { .. })
        ));
    }
    let superuser = fixture.superuser().await;
    for (off, on) in [
        ("users", "username = '1001'"),
        ("extensions", "extension = '1001'"),
        ("domains", "domain = 'a.example'"),
    ] {
        superuser.batch_execute(&format!("UPDATE voip.{off} SET active = false WHERE {on}")).await.unwrap();
        assert_eq!(store.directory_user(A, "1001").await.unwrap(), None, "{off}");
        superuser.batch_execute(&format!("UPDATE voip.{off} SET active = true WHERE {on}")).await.unwrap();
    }
    assert!(store.directory_user(A, "1001").await.unwrap().is_some());
    assert!(
        store
            .users(Scope::Tenant(fixture.domain_id(A).await), None, 10, None)
            .await
            .unwrap()
            .items
            .iter()
            .all(|u| u.domain == A)
    );
}
