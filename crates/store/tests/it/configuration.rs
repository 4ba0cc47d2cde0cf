//! Extensions, queues and keys: made, changed, deleted, each with its audit row, and once under one Idempotency-Key.

use std::collections::BTreeMap;

use store::audit::{Actor, IdempotencyKey};
use store::extensions::ExtensionInput;
use store::keys::NewApiKey;
use store::queues::{QueueInput, QueueMember};
use store::{Error, Scope};

use crate::common::{A, B, Fixture, credentials};

pub fn platform() -> Actor {
    Actor { who: "test".to_owned(), scope: Scope::Platform, idempotency: None }
}

fn tenant(id: i32) -> Actor {
    Actor { scope: Scope::Tenant(id), ..platform() }
}

fn under_key(actor: Actor, key: &str, request: u8) -> Actor {
    let key = IdempotencyKey { key: key.to_owned(), request_sha256: [request; 32] };
    Actor { idempotency: Some(key), ..actor }
}

fn user(number: &str, domain: Option<&str>) -> ExtensionInput {
    ExtensionInput {
        domain: domain.map(str::to_owned),
        extension: number.to_owned(),
        kind: "user".to_owned(),
        ..ExtensionInput::default()
    }
}

#[tokio::test]
async fn an_extension_lives_and_is_audited() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = &fixture.store;
    let a = fixture.domain_id(A).await;
    let actor = tenant(a);
    let mut input = user("1010", None);
    input.credentials = Some(credentials("1010", A, "one"));
    let made = store.create_extension(&actor, &input).await.unwrap().item;
    assert_eq!(
        (made.domain.as_str(), made.extension.as_str(), made.need_media, made.has_secret),
        (A, "1010", false, true)
    );
    assert_eq!(store.extension(actor.scope, made.id).await.unwrap(), made);
    let ha1 = async |number| store.directory_user(A, number).await.unwrap().and_then(|user| user.ha1);
    assert_eq!(ha1("1010").await, Some(model::ha1::md5("1010", A, "one")));

    // A change of something else keeps the secret; a new number cannot: HA1 is made of it.
    input.credentials = None;
    input.user_id = made.user_id;
    input.description = Some("front desk".to_owned());
    let changed = store.update_extension(&actor, made.id, &input).await.unwrap();
    assert!(changed.has_secret && changed.updated_at > made.updated_at);
    input.extension = "1011".to_owned();
    assert!(!store.update_extension(&actor, made.id, &input).await.unwrap().has_secret);
    assert_eq!(ha1("1011").await, None);
    input.credentials = Some(credentials("1011", A, "two"));
    assert!(store.update_extension(&actor, made.id, &input).await.unwrap().has_secret);

    store.delete_extension(&actor, made.id).await.unwrap();
    assert!(matches!(store.extension(actor.scope, made.id).await, Err(Error::NotFound)));
    assert!(matches!(store.delete_extension(&actor, made.id).await, Err(Error::NotFound)));
    let superuser = fixture.superuser().await;
    let rows = superuser
        .query("SELECT who, action, domain_id, before IS NULL, after IS NULL, coalesce(before, after)::text, entity FROM voip.audit_log ORDER BY id", &[])
        .await
        .unwrap();
    let actions: Vec<_> =
        rows.iter().map(|row| format!("{} {}", row.get::<_, &str>(1), row.get::<_, &str>(6))).collect();
    assert_eq!(
        actions,
        [
            "create user",
            "create extension",
            "update extension",
            "update extension",
            "update extension",
            "delete extension",
            "delete user"
        ]
    );
    for row in &rows {
        assert_eq!((row.get::<_, &str>(0), row.get::<_, i32>(2)), ("test", a));
        let action: &str = row.get(1);
        assert_eq!((row.get::<_, bool>(3), row.get::<_, bool>(4)), (action == "create", action == "delete"));
        assert!(!row.get::<_, &str>(5).contains("ha1"), "no secret in the audit log");
    }
}

#[tokio::test]
async fn a_user_made_with_an_extension_goes_with_it_unless_something_became_of_him() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = &fixture.store;
    let actor = tenant(fixture.domain_id(A).await);
    let superuser = fixture.superuser().await;
    let is_there = async |id: Option<i32>| {
        let row = superuser.query_one("SELECT count(*) FROM voip.users WHERE id = $1", &[&id.unwrap()]).await;
        row.unwrap().get::<_, i64>(0) == 1
    };
    let make = async |number: &str, user_id| {
        let mut input = user(number, None);
        input.user_id = user_id;
        store.create_extension(&actor, &input).await.unwrap().item
    };

    let alone = make("1010", None).await;
    store.delete_extension(&actor, alone.id).await.unwrap();
    assert!(!is_there(alone.user_id).await);

    // Two numbers of one user, the first deleted first: he was made with it, and the second needs him.
    let first = make("1011", None).await;
    let second = make("1012", first.user_id).await;
    store.delete_extension(&actor, first.id).await.unwrap();
    assert!(is_there(first.user_id).await);
    store.delete_extension(&actor, second.id).await.unwrap();
    assert!(is_there(first.user_id).await, "he was not made with the second");

    for became in [
        "UPDATE voip.users SET email = 'a@example.com' WHERE id = $1",
        "INSERT INTO voip.voicemail_boxes (domain_id, mailbox, user_id) SELECT domain_id, '1013', id FROM voip.users WHERE id = $1",
        "INSERT INTO voip.queue_members (domain_id, queue_id, user_id)
            SELECT u.domain_id, q.id, u.id FROM voip.users u JOIN voip.queues q USING (domain_id) WHERE u.id = $1 LIMIT 1",
    ] {
        let made = make("1013", None).await;
        assert_eq!(superuser.execute(became, &[&made.user_id.unwrap()]).await.unwrap(), 1, "{became}");
        store.delete_extension(&actor, made.id).await.unwrap();
        assert!(is_there(made.user_id).await, "{became}");
        superuser.execute("DELETE FROM voip.users WHERE id = $1", &[&made.user_id.unwrap()]).await.unwrap();
    }
}

#[tokio::test]
async fn a_strangers_extension_is_not_there() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = &fixture.store;
    let of_b = store.extensions(Scope::Platform, Some(B), 1, None).await.unwrap().items.remove(0);
    let actor = tenant(fixture.domain_id(A).await);
    assert!(matches!(store.extension(actor.scope, of_b.id).await, Err(Error::NotFound)));
    assert!(matches!(
        store.update_extension(&actor, of_b.id, &user("1001", None)).await,
        Err(Error::NotFound)
    ));
    assert!(matches!(store.delete_extension(&actor, of_b.id).await, Err(Error::NotFound)));
    let into_b = store.create_extension(&actor, &user("1010", Some(B))).await;
    assert!(matches!(into_b, Err(Error::Invalid { field: "domain", .. })));
    let mut with_b = user("1010", None);
    with_b.user_id = of_b.user_id;
    let with_b = store.create_extension(&actor, &with_b).await;
    assert!(matches!(with_b, Err(Error::Conflict { field: "user_id", .. })), "{with_b:?}");
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = &fixture.store;
    let actor = tenant(fixture.domain_id(A).await);
    // A refusal is rolled back beside its caller's way: the next one here waits for that.
    let at_rest = async || {
        let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while store.pool_status().idle < store.pool_status().open {
            assert!(std::time::Instant::now() < until, "{:?}", store.pool_status());
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let superuser = fixture.superuser().await;
    let backends = async || -> Vec<i32> {
        let sql = "SELECT pid FROM pg_stat_activity WHERE application_name = 'voipadmind' ORDER BY pid";
        superuser.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    };
    let field = async |input: ExtensionInput| {
        let refused = match store.create_extension(&actor, &input).await {
            Err(Error::Invalid { field, .. }) => ("invalid", field),
            Err(Error::Conflict { field, .. }) => ("conflict", field),
            other => panic!("{other:?}"),
        };
        at_rest().await;
        refused
    };
    store.extensions(actor.scope, None, 500, None).await.unwrap();
    at_rest().await;
    let before = backends().await;
    assert_eq!(field(user("1001", None)).await, ("conflict", "extension"));
    assert_eq!(
        field(ExtensionInput { user_id: Some(999), ..user("1010", None) }).await,
        ("conflict", "user_id")
    );
    assert_eq!(
        field(ExtensionInput { kind: "fax".to_owned(), ..user("1010", None) }).await,
        ("invalid", "type")
    );
    assert_eq!(
        field(ExtensionInput { kind: "queue".to_owned(), ..user("1010", None) }).await,
        ("invalid", "type")
    );
    assert_eq!(field(ExtensionInput { queue_id: Some(1), ..user("1010", None) }).await, ("invalid", "type"));
    assert_eq!(
        field(ExtensionInput { extension: "10 10".to_owned(), user_id: Some(1), ..user("", None) }).await,
        ("invalid", "extension")
    );
    assert_eq!(
        field(ExtensionInput { extension: "10\u{0}10".to_owned(), user_id: Some(1), ..user("", None) }).await,
        ("invalid", "value")
    );
    assert_eq!(
        field(ExtensionInput { recording_policy_id: Some(999), ..user("1010", None) }).await,
        ("conflict", "recording_policy_id")
    );
    let long = Some("x".repeat(256));
    assert_eq!(
        field(ExtensionInput { description: long, user_id: Some(1), ..user("1010", None) }).await,
        ("invalid", "description")
    );
    let no_domain = store.create_extension(&platform(), &user("1010", None)).await;
    assert!(matches!(no_domain, Err(Error::Invalid { field: "domain", .. })));
    // After all these refusals connections are still good: none was lost, and none was needed beside the first.
    at_rest().await;
    assert_eq!(store.extensions(actor.scope, None, 500, None).await.unwrap().items.len(), 7);
    assert_eq!(backends().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_makes_one_thing() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = &fixture.store;
    let actor = under_key(tenant(fixture.domain_id(A).await), "k1", 1);
    let input = user("1010", None);
    let at_once: Vec<_> = (0..6)
        .map(|_| {
            let (store, actor, input) = (store.clone(), actor.clone(), input.clone());
            tokio::spawn(async move { store.create_extension(&actor, &input).await })
        })
        .collect();
    let mut made = Vec::new();
    for one in at_once {
        made.push(one.await.unwrap().unwrap());
    }
    assert_eq!(made.iter().filter(|created| !created.replayed).count(), 1);
    assert!(made.iter().all(|created| created.item == made[0].item));
    // The key for another request, another's same key, and a failed request that leaves its key free.
    let other = under_key(actor.clone(), "k1", 2);
    assert!(matches!(
        store.create_extension(&other, &input).await,
        Err(Error::Conflict { field: "Idempotency-Key", .. })
    ));
    let somebody = Actor { who: "somebody".to_owned(), ..actor.clone() };
    assert!(matches!(
        store.create_extension(&somebody, &input).await,
        Err(Error::Conflict { field: "extension", .. })
    ));
    let free = store.create_extension(&somebody, &user("1012", None)).await.unwrap();
    assert!(!free.replayed);
}

#[tokio::test]
async fn queues_come_with_number_and_members() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = &fixture.store;
    let actor = under_key(tenant(fixture.domain_id(A).await), "q", 1);
    let member = |username: &str, position| QueueMember { username: username.to_owned(), tier: 1, position };
    let mut input = QueueInput::named("Sales");
    input.extension = Some("8002".to_owned());
    input.members = Some(vec![member("1001", 2), member("1003", 1)]);
    let made = store.create_queue(&actor, &input).await.unwrap();
    assert_eq!(made.item.extension.as_deref(), Some("8002"));
    assert_eq!(made.item.members, [member("1003", 1), member("1001", 2)]);
    assert_eq!(store.create_queue(&actor, &input).await.unwrap().item, made.item);
    input.members = Some(vec![member("1002", 1)]);
    input.strategy = "longest-idle".to_owned();
    let changed = store.update_queue(&actor, made.item.id, &input).await.unwrap();
    assert_eq!(
        (changed.members.as_slice(), changed.strategy.as_str()),
        ([member("1002", 1)].as_slice(), "longest-idle")
    );
    input.members = Some(vec![member("nobody", 1)]);
    assert!(matches!(
        store.update_queue(&actor, made.item.id, &input).await,
        Err(Error::Invalid { field: "members", .. })
    ));
    input.members = None;
    input.extension = Some("1001".to_owned());
    assert!(matches!(
        store.update_queue(&actor, made.item.id, &input).await,
        Err(Error::Conflict { field: "extension", .. })
    ));
    assert_eq!(store.queue(actor.scope, made.item.id).await.unwrap(), changed);
    assert_eq!(store.queues(actor.scope, None, 50, None).await.unwrap().items.len(), 2);
    store.delete_queue(&actor, made.item.id).await.unwrap();
    let left = store.extensions(actor.scope, None, 50, None).await.unwrap();
    assert!(left.items.iter().all(|extension| extension.extension != "8002"), "its number went with it");
}

#[tokio::test]
async fn lists_go_on_where_they_stopped() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = fixture.store.extensions(Scope::Platform, None, 3, after.as_deref()).await.unwrap();
        seen.extend(page.items.iter().map(|extension| extension.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 14);
    assert!(seen.is_sorted());
    let bad = fixture.store.users(Scope::Platform, None, 3, Some("x")).await;
    assert!(matches!(bad, Err(Error::Invalid { field: "after", .. })));
}

#[tokio::test]
async fn keys_are_found_while_they_are_good() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = &fixture.store;
    let key = |name: &str, prefix: &str, domain: Option<&str>| NewApiKey {
        name: name.to_owned(),
        prefix: prefix.to_owned(),
        hash: [7; 32],
        scopes: BTreeMap::from([("cdr".to_owned(), "read".to_owned())]),
        domain: domain.map(str::to_owned),
        expires_at: None,
    };
    store.create_api_key("test", &key("admin", "aaaaaaaa", None)).await.unwrap();
    store.create_api_key("test", &key("tenant", "bbbbbbbb", Some(A))).await.unwrap();
    let found = store.api_key("bbbbbbbb").await.unwrap().unwrap();
    assert_eq!((found.scope, found.domain.as_deref()), (Scope::Tenant(fixture.domain_id(A).await), Some(A)));
    assert_eq!(found.scopes, BTreeMap::from([("cdr".to_owned(), "read".to_owned())]));
    assert_eq!(store.api_key("aaaaaaaa").await.unwrap().unwrap().scope, Scope::Platform);
    assert_eq!(store.api_key("cccccccc").await.unwrap(), None);
    assert!(matches!(
        store.create_api_key("test", &key("x", "aaaaaaaa", None)).await,
        Err(Error::Conflict { field: "prefix", .. })
    ));
    assert!(matches!(
        store.create_api_key("test", &key("admin", "dddddddd", None)).await,
        Err(Error::Conflict { field: "name", .. })
    ));
    assert!(matches!(
        store.create_api_key("test", &key("x", "eeeeeeee", Some("c.example"))).await,
        Err(Error::NotFound)
    ));
    let superuser = fixture.superuser().await;
    for off in [
        "UPDATE voip.api_keys SET expires_at = now()",
        "UPDATE voip.domains SET active = false",
        "UPDATE voip.api_keys SET active = false",
    ] {
        superuser.batch_execute(off).await.unwrap();
        assert_eq!(store.api_key("bbbbbbbb").await.unwrap(), None, "{off}");
        superuser
            .batch_execute(
                "UPDATE voip.api_keys SET expires_at = NULL; UPDATE voip.domains SET active = true",
            )
            .await
            .unwrap();
    }
}
