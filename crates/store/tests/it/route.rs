//! `kamailio.route()`: where a call goes, as Kamailio asks.

use store::extensions::ExtensionInput;
use store::seed::{SeedRecordingPolicy, SeedTarget, seed};
use tokio_postgres::Client;

use crate::common::{A, Fixture, extension, two_tenants};

type Route = Option<(String, String, String, bool, bool)>;

async fn route(kamailio: &Client, number: &str, caller: &str) -> Route {
    // A null is what an absent header becomes.
    let rows = kamailio
        .query("SELECT * FROM route($1, nullif($2, ''), nullif($3, ''))", &[&"A.example", &number, &caller])
        .await
        .unwrap();
    assert!(rows.len() <= 1);
    rows.first().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4)))
}

fn to(kind: &str, extension: &str, reference: &str, need_media: bool, record: bool) -> Route {
    Some((kind.to_owned(), extension.to_owned(), reference.to_owned(), need_media, record))
}

#[tokio::test]
async fn numbers_patterns_and_nothing() {
    let fixture = testkit::or_skip!(Fixture::start().await);
    let mut tenants = two_tenants();
    let a = &mut tenants.domains[0];
    a.trunks.extend(["mobile", "short", "world", "emergency"].map(|name| store::seed::SeedTrunk {
        name: name.to_owned(),
        port: 5060,
        ..store::seed::SeedTrunk::default()
    }));
    for (pattern, trunk) in [
        ("09.", "mobile"),
        ("1[", ""),
        ("NZX", "short"),
        ("+.", "world"),
        ("112", "emergency"),
        ("0912345678", "short"),
    ] {
        if !trunk.is_empty() {
            a.extensions.push(extension(pattern, SeedTarget::TrunkOut(trunk.to_owned()), A));
        }
    }
    seed(&fixture.options, &tenants).await.unwrap();
    let kamailio = fixture.role("kamailio").await;
    let cases = [
        ("1002", to("user", "1002", "1002", false, false)),
        ("8001", to("queue", "8001", "Support_L1", true, false)),
        ("9001", to("ivr", "9001", "Main_Menu", true, false)),
        ("7000", to("conference", "7000", "standup", true, false)),
        // The exact number, the longest literal beginning, then the rest.
        ("0912345678", to("trunk_out", "0912345678", "short", false, false)),
        ("0912345679", to("trunk_out", "09.", "mobile", false, false)),
        ("0812345678", to("trunk_out", "0XXXXXXXXX", "pstn", false, false)),
        ("112", to("trunk_out", "112", "emergency", false, false)),
        ("210", to("trunk_out", "NZX", "short", false, false)),
        ("+441632960000", to("trunk_out", "+.", "world", false, false)),
        ("200", None),
        ("110", None),
        ("081234567", None),
        ("08123456789", None),
        ("081234567x", None),
        ("09", None),
        ("+", None),
        ("0XXXXXXXXX", None),
        ("9999", None),
        ("", None),
        ("1002'", None),
        ("1002\n", None),
    ];
    for (number, expected) in cases {
        assert_eq!(route(&kamailio, number, "1001").await, expected.map(needs_media), "{number:?}");
    }
    assert!(
        kamailio.query("SELECT * FROM route('c.example', '1002', '1001')", &[]).await.unwrap().is_empty()
    );
}

/// Trunks are seeded with media, as in the seed's own example.
fn needs_media(route: (String, String, String, bool, bool)) -> (String, String, String, bool, bool) {
    let media = route.3 || route.0 == "trunk_out";
    (route.0, route.1, route.2, media, route.4)
}

#[tokio::test]
async fn either_partys_policy_records_its_directions() {
    let fixture = testkit::or_skip!(Fixture::start().await);
    let mut tenants = two_tenants();
    let a = &mut tenants.domains[0];
    for (name, inbound, outbound, internal, queue) in [
        ("in", true, false, false, false),
        ("out", false, true, false, false),
        ("inside", false, false, true, false),
        ("queue", false, false, false, true),
    ] {
        a.recording_policies.push(SeedRecordingPolicy {
            name: name.to_owned(),
            record_inbound: inbound,
            record_outbound: outbound,
            record_internal: internal,
            record_queue: queue,
            retention_days: 1,
        });
    }
    let policies = [("1001", "in"), ("1002", "out"), ("1003", "inside"), ("8001", "queue")];
    for (number, policy) in policies {
        let found = a.extensions.iter_mut().find(|extension| extension.extension == number).unwrap();
        found.recording_policy = Some(policy.to_owned());
    }
    seed(&fixture.options, &tenants).await.unwrap();
    let kamailio = fixture.role("kamailio").await;
    let outside = "+441632960000";
    for (caller, number, recorded) in [
        (outside, "1001", true),
        (outside, "1002", false),
        ("1002", "1001", false),
        ("1002", "0812345678", true),
        ("1001", "0812345678", false),
        ("1003", "1001", true),
        ("1001", "1003", true),
        ("1001", "1002", false),
        ("1001", "8001", true),
        (outside, "8001", true),
        ("1003", "9001", true),
        ("", "1001", true),
    ] {
        let route = route(&kamailio, number, caller).await.unwrap();
        assert_eq!(route.4, recorded, "{caller} calls {number}");
    }
}

#[tokio::test]
async fn what_is_off_cannot_be_reached() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let kamailio = fixture.role("kamailio").await;
    let superuser = fixture.superuser().await;
    for (table, condition, number) in [
        ("users", "username = '1002'", "1002"),
        ("extensions", "extension = '1002'", "1002"),
        ("queues", "true", "8001"),
        ("ivr_menus", "true", "9001"),
        ("trunks", "true", "0812345678"),
        ("conferences", "true", "7000"),
        ("domains", "true", "1002"),
    ] {
        assert!(route(&kamailio, number, "1001").await.is_some());
        superuser
            .batch_execute(&format!("UPDATE voip.{table} SET active = false WHERE {condition}"))
            .await
            .unwrap();
        assert_eq!(route(&kamailio, number, "1001").await, None, "{table}");
        superuser.batch_execute(&format!("UPDATE voip.{table} SET active = true")).await.unwrap();
    }
    let actor = crate::configuration::platform();
    let page = fixture.store.extensions(store::Scope::Platform, Some(A), 1, None).await.unwrap();
    let changed = ExtensionInput {
        extension: "1009".to_owned(),
        kind: "user".to_owned(),
        user_id: page.items[0].user_id,
        need_media: Some(true),
        ..ExtensionInput::default()
    };
    fixture.store.update_extension(&actor, page.items[0].id, &changed).await.unwrap();
    assert_eq!(route(&kamailio, "1009", "1002").await, to("user", "1009", "1009", true, false));
}
