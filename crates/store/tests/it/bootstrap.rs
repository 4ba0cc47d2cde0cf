//! From an empty server to the platform's database, twice, at once, and seeded twice.

use crate::common::{A, Fixture, options, server, two_tenants};
use store::bootstrap::bootstrap;
use store::migrations::schema_version_built;
use store::seed::seed;

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_may_bootstrap_at_once_and_again() {
    let postgres = testkit::or_skip!(server());
    let options = options(&postgres);
    let (one, two) = tokio::join!(bootstrap(&options), bootstrap(&options));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_ne!(one.database_created, two.database_created);
    assert_eq!(
        one.migrations_applied + two.migrations_applied,
        usize::try_from(schema_version_built()).unwrap()
    );
    let again = bootstrap(&options).await.unwrap();
    assert_eq!((again.database_created, again.migrations_applied), (false, 0));
}

#[tokio::test]
async fn the_seed_changes_nothing_the_second_time_and_only_what_differs_the_third() {
    let fixture = testkit::or_skip!(Fixture::start().await);
    let mut tenants = two_tenants();
    assert!(seed(&fixture.options, &tenants).await.unwrap() > 20);
    assert_eq!(seed(&fixture.options, &tenants).await.unwrap(), 0);
    tenants.domains[0].users[0].full_name = Some("Ada".to_owned());
    assert_eq!(seed(&fixture.options, &tenants).await.unwrap(), 1);
    let user = fixture.store.directory_user(&A.to_uppercase(), "1001").await.unwrap().unwrap();
    assert_eq!((user.domain.as_str(), user.full_name.as_deref()), (A, Some("Ada")));
}

/// Every start of a node and every upgrade seeds again: what the API changed or deleted since stays so.
#[tokio::test]
async fn the_seed_makes_a_number_with_what_it_reaches_and_never_again() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let superuser = fixture.superuser().await;
    superuser
        .batch_execute(
            "UPDATE voip.extensions SET description = 'mine', recording_policy_id = (SELECT min(p.id)
                    FROM voip.recording_policies p WHERE p.domain_id = extensions.domain_id) WHERE extension = '1002';
             UPDATE voip.sip_credentials SET ha1 = repeat('0', 32)
              WHERE extension_id IN (SELECT id FROM voip.extensions WHERE extension = '1002');
             DELETE FROM voip.extensions WHERE extension IN ('1003', '8001')",
        )
        .await
        .unwrap();
    let numbers = "SELECT md5(string_agg(e::text || c::text, '' ORDER BY e.id)) FROM voip.extensions e
        LEFT JOIN voip.sip_credentials c ON c.extension_id = e.id";
    let state = async || superuser.query_one(numbers, &[]).await.unwrap().get::<_, String>(0);
    let before = state().await;
    let mut tenants = two_tenants();
    assert_eq!(seed(&fixture.options, &tenants).await.unwrap(), 0);
    assert_eq!(state().await, before);

    let trunk =
        |name: &str| store::seed::SeedTrunk { name: name.to_owned(), port: 5060, ..Default::default() };
    tenants.domains[0].trunks.push(trunk("second"));
    let target = store::seed::SeedTarget::TrunkOut("second".to_owned());
    tenants.domains[0].extensions.push(crate::common::extension("00.", target, A));
    assert_eq!(seed(&fixture.options, &tenants).await.unwrap(), 2, "a new trunk has its number");
}

#[tokio::test]
async fn a_seed_that_names_what_is_not_there_changes_nothing() {
    let fixture = testkit::or_skip!(Fixture::start().await);
    let mut tenants = two_tenants();
    tenants.domains[1].queues.clear();
    let error = seed(&fixture.options, &tenants).await.unwrap_err();
    assert!(matches!(error, store::Error::Invalid { field: "type", .. }), "{error}");
    assert_eq!(fixture.store.domain_id(A).await.unwrap(), None);
}

#[tokio::test]
async fn no_clear_password_reaches_the_server() {
    let fixture = testkit::or_skip!(Fixture::start().await);
    let superuser = fixture.superuser().await;
    let rows = superuser
        .query("SELECT rolname, rolpassword FROM pg_authid WHERE rolpassword IS NOT NULL", &[])
        .await
        .unwrap();
    assert_eq!(rows.len(), 4);
    for row in rows {
        assert!(row.get::<_, &str>(1).starts_with("SCRAM-SHA-256$4096:"), "{}", row.get::<_, &str>(0));
    }
    assert!(!fixture.postgres.log().contains("_password"));
    for role in ["kamailio", "voip_admin", "exporter"] {
        fixture.role(role).await;
        assert!(fixture.try_role(role, "wrong").await.is_err());
    }
    assert!(
        fixture.try_role("replicator", "replicator_password").await.is_err(),
        "no business in the database"
    );
}

#[tokio::test]
async fn a_sip_engine_never_waits_for_the_peer() {
    let fixture = testkit::or_skip!(Fixture::start().await);
    let kamailio = fixture.role("kamailio").await;
    for (setting, value) in
        [("synchronous_commit", "local"), ("search_path", "kamailio"), ("statement_timeout", "2s")]
    {
        let row = kamailio.query_one("SELECT current_setting($1)", &[&setting]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), value);
    }
}

#[tokio::test]
async fn the_schema_is_the_one_this_program_was_built_for() {
    let fixture = testkit::or_skip!(Fixture::start().await);
    fixture.store.check_schema().await.unwrap();
    let health = fixture.store.health().await.unwrap();
    assert_eq!((health.role, health.writable), ("primary", true));
    assert_eq!(health.schema_version, schema_version_built());
    fixture
        .superuser()
        .await
        .batch_execute("DELETE FROM voip.schema_history WHERE version > 3")
        .await
        .unwrap();
    let error = fixture.store.check_schema().await.unwrap_err();
    assert!(error.to_string().contains("voipadmind bootstrap"), "{error}");
}
