//! Changes of configuration are heard by who listens, and who was away starts over.

use std::time::Duration;

use store::changes::{Changed, News};
use store::extensions::ExtensionInput;
use tokio::sync::mpsc::Receiver;

use crate::common::{A, Fixture};
use crate::configuration::platform;

async fn next(news: &mut Receiver<News>) -> News {
    tokio::time::timeout(Duration::from_secs(20), news.recv()).await.unwrap().unwrap()
}

fn changed(table: &str, key: &str) -> News {
    News::Changed(Changed { table: table.to_owned(), domain: Some(A.to_owned()), key: Some(key.to_owned()) })
}

#[tokio::test]
async fn changes_are_told_and_a_lost_connection_means_start_over() {
    let mut fixture = testkit::or_skip!(Fixture::seeded().await);
    let mut news = fixture.store.changes();
    assert_eq!(next(&mut news).await, News::Resync);
    let input = ExtensionInput {
        domain: Some(A.to_owned()),
        extension: "1010".to_owned(),
        kind: "user".to_owned(),
        credentials: Some(crate::common::credentials("1010", A, "x")),
        ..ExtensionInput::default()
    };
    let made = fixture.store.create_extension(&platform(), &input).await.unwrap().item;
    let told = [next(&mut news).await, next(&mut news).await, next(&mut news).await];
    assert_eq!(
        told,
        [changed("users", "1010"), changed("extensions", "1010"), changed("sip_credentials", "1010")]
    );
    // A rename concerns both names; a change that changes nothing concerns nobody.
    let renamed = ExtensionInput { extension: "1011".to_owned(), user_id: made.user_id, ..input.clone() };
    fixture.store.update_extension(&platform(), made.id, &renamed).await.unwrap();
    let mut told = vec![next(&mut news).await, next(&mut news).await];
    told.sort_by_key(|news| format!("{news:?}"));
    assert_eq!(told, [changed("extensions", "1010"), changed("extensions", "1011")]);

    fixture.postgres.kill9();
    fixture.postgres.start_again().unwrap();
    while next(&mut news).await != News::Resync {}
}
