use super::*;

const TIMING: Timing = Timing { every: Duration::from_millis(100), gone_after: Duration::from_millis(200) };

fn heart(key: &str, me: &str, peer: &str, life: u64) -> Arc<Heart> {
    let heart = Heart::new(
        Identity {
            key: Key::of(key),
            cluster: Uuid::from_u128(7),
            me,
            peer,
            boot_id: Uuid::from_u128(life.into()),
            arbiter: "none",
            life,
        },
        TIMING,
    );
    heart.say(Saying {
        state: Some(State::first_primary(Uuid::from_u128(7), me)),
        postgres_failed: false,
        postgres_stopped: false,
        fit: true,
        log: None,
        grant: None,
    });
    heart
}

fn echoes(heart: &Heart) -> bool {
    heart.newest().and_then(|it| it.heard).is_some_and(|heard| heard.echoes_me)
}

#[test]
fn a_node_knows_whether_it_is_heard() {
    let (n1, n2) = (heart("k", "n1", "n2", 1), heart("k", "n2", "n1", 2));
    assert!(n1.newest().is_none());
    assert!(n1.hear(&n2.beat()) && !echoes(&n1), "heard, and not known to hear");
    assert!(n2.hear(&n1.beat()) && echoes(&n2));
    assert!(n1.hear(&n2.beat()) && echoes(&n1));
    let heard = n1.newest().unwrap().heard.unwrap();
    assert_eq!((heard.answers, heard.boot_id), (Some(Uuid::from_u128(1)), Uuid::from_u128(2)));
    assert_eq!(n1.take().len(), 2);
    // n1 is not heard any more: what n2 goes on to echo is old.
    std::thread::sleep(TIMING.gone_after + Duration::from_millis(20));
    assert!(n1.newest().is_none(), "silence");
    assert!(n1.hear(&n2.beat()) && !echoes(&n1));
}

#[test]
fn silence_counts_after_a_while_of_listening_and_not_after_a_sleep() {
    let (n1, n2) = (heart("k", "n1", "n2", 1), heart("k", "n2", "n1", 2));
    assert!(!n1.has_listened(), "it began just now");
    n1.hear(&n2.beat());
    assert!(!n1.has_listened(), "heard, and not known to hear: perhaps in a moment");
    n2.hear(&n1.beat());
    n1.hear(&n2.beat());
    assert!(n1.has_listened());
    std::thread::sleep(TIMING.gone_after + Duration::from_millis(20));
    assert!(n1.has_listened() && n1.newest().is_none());
    // Nobody listened all that time.
    n1.listen();
    assert!(!n1.has_listened());
}

#[test]
fn what_is_not_the_peers_or_was_heard_before_is_refused() {
    let (n1, n2) = (heart("k", "n1", "n2", 1), heart("k", "n2", "n1", 2));
    let beat = n2.beat();
    let newer = n2.beat();
    assert!(n1.hear(&newer) && !n1.hear(&beat) && !n1.hear(&newer), "older, and the same again");
    assert!(!n1.hear(&heart("other", "n2", "n1", 3).beat()), "another key");
    assert!(!n1.hear(&n1.beat()), "its own");
    assert!(!n1.hear(&heart("k", "n2", "n3", 3).beat()), "for another");
    assert!(!n1.hear(b"short") && !n1.hear(&[0; 64]));
    let mut changed = n2.beat();
    *changed.last_mut().unwrap() ^= 1;
    assert!(!n1.hear(&changed));
    assert!(n1.ears().refused >= 5);
}

#[test]
fn a_peer_that_is_not_understood_is_alive_all_the_same() {
    let n1 = heart("k", "n1", "n2", 1);
    let sealed = |change: fn(&mut serde_json::Value)| {
        let n2 = heart("k", "n2", "n1", 2);
        let mut beat: serde_json::Value = serde_json::from_slice(&n2.beat()[SEAL_BYTES..]).unwrap();
        change(&mut beat);
        let body = serde_json::to_vec(&beat).unwrap();
        [n2.key.seal_beat(&body).to_vec(), body].concat()
    };
    for (datagram, says) in [
        (sealed(|beat| beat["version"] = 9.into()), "version 9"),
        (sealed(|beat| beat["says"]["state"]["version"] = 9.into()), "the same package"),
        (sealed(|beat| beat["cluster"] = Uuid::nil().to_string().into()), "another cluster"),
        (sealed(|beat| beat["arbiter"] = "etcd".into()), "'etcd' on n2 and 'none' here"),
    ] {
        assert!(!n1.hear(&datagram));
        let why = n1.strange().unwrap();
        assert!(why.contains(says), "{why}");
    }
    std::thread::sleep(TIMING.gone_after + Duration::from_millis(20));
    assert!(n1.strange().is_some(), "two arbiters are not mended by silence");
    assert!(n1.hear(&heart("k", "n2", "n1", 3).beat()) && n1.strange().is_none());
    n1.hear(&sealed(|beat| beat["version"] = 9.into()));
    std::thread::sleep(TIMING.gone_after + Duration::from_millis(20));
    assert!(n1.strange().is_none(), "it is gone");
}

#[test]
fn another_life_of_the_peer_is_known_by_its_echo_or_by_silence() {
    let n1 = heart("k", "n1", "n2", 1);
    let (old, new) = (heart("k", "n2", "n1", 2), heart("k", "n2", "n1", 3));
    let recorded = old.beat();
    assert!(n1.hear(&new.beat()));
    assert!(!n1.hear(&recorded), "a replay of an earlier life beside a living one");
    let restarted = heart("k", "n2", "n1", 4);
    assert!(!n1.hear(&restarted.beat()), "not yet: it has not heard this node");
    assert!(restarted.hear(&n1.beat()) && n1.hear(&restarted.beat()));
}

#[test]
fn a_heartbeat_fits_into_one_frame() {
    let long = "a-node-with-a-rather-long-name-of-sixty-three-characters-0123456";
    let (n1, n2) = (heart("k", long, long, u64::MAX), heart("k", long, long, u64::MAX));
    n1.hear(&n2.beat());
    let state = State {
        flag: Some(fsm::Flag { epoch: u64::MAX, join: u64::MAX, boot_id: Uuid::max() }),
        ..State::first_primary(Uuid::max(), long)
    };
    let at = fsm::Point { epoch: u64::MAX, join: u64::MAX };
    n1.say(Saying {
        state: Some(state),
        postgres_failed: true,
        postgres_stopped: true,
        fit: true,
        log: Some(Log { timeline: u32::MAX, began: u64::MAX, flush: u64::MAX, kept_from: Some(u64::MAX) }),
        grant: Some(Grant { at, lsn: u64::MAX, nonce: u64::MAX, boot_id: Uuid::max() }),
    });
    assert!(n1.beat().len() <= DATAGRAM_BYTES_MAX, "{}", n1.beat().len());
}
