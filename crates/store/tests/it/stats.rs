//! Statistics: counted by hand, in every group.

use store::search::{CdrFilter, Group, GroupBy, StatsOf};
use store::{Scope, Store};

use crate::common::{A, B, Fixture, at, leg, leg_item};

/// Support's calls of one evening in Berlin and another tenant's: one answered by 1002 after 10 s (1001 was rung too), one by
/// 1002 after 40 s, one abandoned; a plain call answered, one busy.
async fn an_evening(fixture: &Fixture) {
    let text = |value: &str| Some(value.to_owned());
    let mut legs = Vec::new();
    let calls =
        [("q1", "22:10", Some("1002"), 60), ("q2", "22:50", Some("1002"), 30), ("q3", "23:20", None, 15)];
    for (uuid, time, agent, billsec) in calls {
        let mut member = leg(uuid, None, &format!("2026-11-22T{time}:00Z"));
        (member.queue, member.agent, member.billsec) = (text("Support_L1"), agent.and_then(text), billsec);
        legs.push(member);
        for (rung, spoke) in [("1001", 0), ("1002", billsec)] {
            let mut own = leg(&format!("{uuid}-{rung}"), Some(uuid), &format!("2026-11-22T{time}:05Z"));
            (own.agent, own.billsec) = (text(rung), spoke);
            if agent != Some(rung) {
                (own.answer_time, own.billsec) = (None, 0);
            }
            if uuid != "q3" || rung == "1001" {
                legs.push(own);
            }
        }
    }
    legs.push(leg("plain", None, "2026-11-22T22:59:59Z"));
    let mut busy = leg("busy", None, "2026-11-22T23:00:00Z");
    (busy.answer_time, busy.billsec, busy.hangup_cause) = (None, 0, text("USER_BUSY"));
    legs.push(busy);
    let mut theirs = leg("theirs", None, "2026-11-22T22:30:00Z");
    theirs.domain = text(B);
    legs.push(theirs);
    let items: Vec<_> = (1..).zip(legs).map(|(seq, leg)| leg_item(seq, leg)).collect();
    fixture.store.commit_cdr_batch(&items).await.unwrap();
    // These legs have no story to take it from.
    let told = "UPDATE voip.cdr SET status = s, wait_seconds = w, talk_seconds = t
        FROM (VALUES ('q1', 'answered', 10, 55), ('q2', 'answered', 40, 25), ('q3', 'abandoned', 15, NULL),
            ('plain', 'answered', NULL, 5), ('busy', 'busy', NULL, NULL), ('theirs', 'answered', NULL, 5)) AS v (uuid, s, w, t)
        WHERE leg_uuid = uuid AND head";
    fixture.superuser().await.batch_execute(told).await.unwrap();
}

async fn stats(store: &Store, scope: Scope, by: GroupBy) -> Vec<Group> {
    let of = StatsOf { by, zone: "Europe/Berlin".to_owned(), within_s: 20 };
    let filter = CdrFilter { domain: Some(A.to_owned()), ..CdrFilter::default() };
    store.cdr_stats(scope, &filter, &of).await.unwrap()
}

/// Name, calls, answered, abandoned.
fn counts(groups: &[Group]) -> Vec<(Option<&str>, i64, i64, Option<i64>)> {
    groups.iter().map(|g| (g.name.as_deref(), g.calls, g.answered, g.abandoned)).collect()
}

#[tokio::test]
async fn every_group_is_counted() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    an_evening(&fixture).await;
    let of = async |by| stats(&fixture.store, Scope::Platform, by).await;
    let all = of(GroupBy::Nothing).await;
    assert_eq!(counts(&all), [(None, 5, 3, Some(1))]);
    // Talk 55 + 25 of the queue, 5 of the plain call; waits 10, 40 and 15; one of three was answered within 20 s.
    let one = &all[0];
    assert_eq!((one.asr, one.talk_seconds, one.service_level), (0.6, 85, Some(1.0 / 3.0)));
    assert_eq!((one.acd, one.wait_seconds), (Some(85.0 / 3.0), Some(65.0 / 3.0)));

    let queues = of(GroupBy::Queue).await;
    assert_eq!(counts(&queues), [(None, 2, 1, Some(0)), (Some("Support_L1"), 3, 2, Some(1))]);
    assert_eq!((queues[0].service_level, queues[1].service_level), (None, Some(1.0 / 3.0)));
    let agents = of(GroupBy::Agent).await;
    assert_eq!(counts(&agents), [(Some("1001"), 3, 0, None), (Some("1002"), 2, 2, None)]);
    assert_eq!((agents[0].acd, agents[1].talk_seconds), (None, 90));
    let causes = of(GroupBy::Cause).await;
    assert_eq!(
        counts(&causes),
        [(Some("NORMAL_CLEARING"), 4, 3, Some(1)), (Some("USER_BUSY"), 1, 0, Some(0))]
    );
    assert_eq!(counts(&of(GroupBy::Direction).await), [(Some("internal"), 5, 3, Some(1))]);
    let statuses = [
        (Some("abandoned"), 1, 0, Some(1)),
        (Some("answered"), 3, 3, Some(0)),
        (Some("busy"), 1, 0, Some(0)),
    ];
    assert_eq!(counts(&of(GroupBy::Status).await), statuses);

    // Midnight in Berlin is 23:00 UTC.
    let days: Vec<_> =
        of(GroupBy::Day).await.into_iter().map(|day| (day.start_time.unwrap(), day.calls)).collect();
    assert_eq!(days, [(at("2026-11-21T23:00:00Z"), 3), (at("2026-11-22T23:00:00Z"), 2)]);
    let hours: Vec<_> =
        of(GroupBy::Hour).await.into_iter().map(|it| (it.start_time.unwrap(), it.calls)).collect();
    assert_eq!(hours, [(at("2026-11-22T22:00:00Z"), 3), (at("2026-11-22T23:00:00Z"), 2)]);

    let b = Scope::Tenant(fixture.domain_id(B).await);
    assert_eq!(stats(&fixture.store, b, GroupBy::Queue).await, [], "another tenant's");
    let own = StatsOf { by: GroupBy::Nothing, zone: "UTC".to_owned(), within_s: 20 };
    let own = fixture.store.cdr_stats(b, &CdrFilter::default(), &own).await.unwrap();
    assert_eq!(counts(&own), [(None, 1, 1, Some(0))]);
}
