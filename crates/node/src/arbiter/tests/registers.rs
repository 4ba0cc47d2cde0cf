use std::time::Instant;

use nix::sys::signal::Signal;
use testkit::or_skip;

use super::*;

#[tokio::test]
async fn a_register_is_made_once_and_moves_by_compare_and_set() {
    let server = or_skip!(Server::start(3));
    let etcd = client(&server);
    assert_eq!(etcd.read().await.unwrap(), None);
    assert!(!etcd.cas(0, &register(1, "n1")).await.unwrap(), "there is nothing to compare with");
    etcd.init(&register(1, "n1")).await.unwrap();
    etcd.init(&register(9, "n2")).await.unwrap();
    assert_eq!(etcd.read().await.unwrap(), Some(register(1, "n1")), "made once");

    assert!(etcd.cas(1, &register(2, "n2")).await.unwrap());
    assert!(!etcd.cas(1, &register(2, "n1")).await.unwrap(), "taken");
    assert!(etcd.cas(1, &register(2, "n2")).await.unwrap(), "asked twice is asked once");
    assert_eq!(etcd.read().await.unwrap(), Some(register(2, "n2")));
    assert!(matches!(etcd.cas(2, &register(2, "n1")).await, Err(Error::Backwards { .. })));

    let other = Etcd::new(&spec(&server), uuid::Uuid::from_u128(8), &[], None);
    assert_eq!(other.read().await.unwrap(), None, "each cluster has its own");
    assert_eq!(etcd.members().await.unwrap(), 3);
}

#[tokio::test]
async fn a_minority_decides_nothing_and_says_so_in_time() {
    let mut server = or_skip!(Server::start(3));
    let etcd = client(&server);
    etcd.init(&register(1, "n1")).await.unwrap();

    // Each in turn is asked first, the dead one too.
    server.kill9(0);
    settled(&etcd).await;
    let fresh = client(&server);
    assert_eq!(fresh.read().await.unwrap(), Some(register(1, "n1")));
    assert!(fresh.cas(1, &register(2, "n2")).await.unwrap());
    assert_eq!(fresh.members().await.unwrap(), 3);

    server.kill9(1);
    for etcd in [&etcd, &fresh, &client(&server)] {
        for turn in 0..2 {
            let began = Instant::now();
            let error = match turn {
                0 => etcd.read().await.map(drop).unwrap_err(),
                _ => etcd.cas(2, &register(3, "n1")).await.map(drop).unwrap_err(),
            };
            assert!(matches!(error, Error::Away(_)), "{error}");
            assert!(began.elapsed() < ETCD_ANSWER_MAX + LATE, "{:?}", began.elapsed());
        }
    }
    server.restart(1).unwrap();
    // The questions without an answer were ambiguous: either of them may have been done.
    let found = settled(&etcd).await.unwrap();
    assert!([register(2, "n2"), register(3, "n1")].contains(&found), "{found:?}");
}

#[tokio::test]
async fn a_member_that_hangs_costs_its_share_alone() {
    let server = or_skip!(Server::start(3));
    let etcd = client(&server);
    etcd.init(&register(1, "n1")).await.unwrap();
    let leader = server.leader().unwrap();
    server.signal((leader + 1) % 3, Signal::SIGSTOP);
    // The next two ask a hung follower first, whoever that is; the leader and the other answer.
    for first in 0..3 {
        let own = [server.addresses()[first].ip()];
        let etcd = Etcd::new(&spec(&server), uuid::Uuid::from_u128(7), &own, None);
        assert_eq!(etcd.read().await.unwrap(), Some(register(1, "n1")));
        let began = Instant::now();
        assert_eq!(etcd.read().await.unwrap(), Some(register(1, "n1")));
        assert!(began.elapsed() < std::time::Duration::from_millis(400), "it is asked first again");
    }
    server.signal((leader + 1) % 3, Signal::SIGCONT);
}

#[tokio::test]
async fn an_etcd_of_two_is_refused_and_so_is_a_member_of_another() {
    let two = or_skip!(Server::start(2));
    let refused = client(&two).members().await.unwrap_err();
    assert!(matches!(refused, Error::TooFewMembers(2)), "{refused}");
    assert!(refused.to_string().contains("either's death stops both"), "{refused}");

    let one = or_skip!(Server::start(1));
    let mut mixed = spec(&two);
    mixed.endpoints.extend(one.addresses().into_iter().map(spec::Endpoint));
    let etcd = Etcd::new(&mixed, uuid::Uuid::from_u128(7), &[], None);
    assert_eq!(etcd.read().await.unwrap(), None);
    drop(two);
    let error = etcd.read().await.unwrap_err().to_string();
    assert!(error.contains("a member of another etcd"), "{error}");
}

#[tokio::test]
async fn what_is_no_register_is_not_taken_for_one() {
    let server = or_skip!(Server::start(1));
    let etcd = client(&server);
    etcd.init(&register(1, "")).await.unwrap();
    assert!(matches!(etcd.read().await, Err(Error::Damaged { .. })));
    assert!(matches!(etcd.cas(7, &register(8, "n1")).await, Err(Error::Damaged { .. })));
}

#[tokio::test]
async fn a_user_is_let_in_by_password_and_again_when_the_token_ended() {
    let mut server = or_skip!(Server::start(1));
    let post = |path: &str, body: &str| {
        let url = format!("http://{}{path}", server.addresses()[0]);
        let answer = ureq::post(url).config().proxy(None).build().send(body);
        answer.unwrap_or_else(|error| panic!("{path}: {error}"));
    };
    post("/v3/auth/user/add", r#"{"name": "root", "password": "r"}"#);
    post("/v3/auth/role/add", r#"{"name": "root"}"#);
    post("/v3/auth/user/grant", r#"{"user": "root", "role": "root"}"#);
    post("/v3/auth/user/add", r#"{"name": "tandem", "password": "t"}"#);
    post("/v3/auth/role/add", r#"{"name": "tandem"}"#);
    // L3RhbmRlbS8= and L3RhbmRlbTA= are '/tandem/' and the first key after it.
    post(
        "/v3/auth/role/grant",
        r#"{"name": "tandem", "perm": {"permType": "READWRITE", "key": "L3RhbmRlbS8=", "range_end": "L3RhbmRlbTA="}}"#,
    );
    post("/v3/auth/user/grant", r#"{"user": "tandem", "role": "tandem"}"#);
    post("/v3/auth/enable", "{}");

    let mut spec = spec(&server);
    spec.user = Some("tandem".into());
    let with = |password| Etcd::new(&spec, uuid::Uuid::from_u128(7), &[], Some(password));
    let wrong = with("x").read().await.unwrap_err().to_string();
    assert!(wrong.contains("'tandem' is not let in"), "{wrong}");
    assert!(client(&server).read().await.is_err(), "nobody is let in without a name");
    let etcd = with("t");
    etcd.init(&register(1, "n1")).await.unwrap();
    assert!(matches!(etcd.members().await, Err(Error::TooFewMembers(1))), "a user may ask who they are");
    // Tokens live in the member's memory.
    server.restart(0).unwrap();
    assert!(etcd.cas(1, &register(2, "n2")).await.unwrap());
}

#[tokio::test]
async fn a_node_of_the_pair_does_not_lead_where_another_can() {
    let server = or_skip!(Server::start(3));
    let pair: Vec<_> = server.addresses()[..2].iter().map(std::net::SocketAddr::ip).collect();
    let [one, other] =
        [0, 1].map(|node| Etcd::new(&spec(&server), uuid::Uuid::from_u128(7), &pair[node..=node], None));
    for node in [&one, &other] {
        node.init(&register(1, "n1")).await.unwrap();
    }
    // Whoever was elected: of the two at most one leads, and hands over to the third.
    let handed = [one.lead_elsewhere(&pair).await.unwrap(), other.lead_elsewhere(&pair).await.unwrap()];
    assert_ne!(handed, [true, true]);
    assert_eq!(server.leader(), Some(2));
    // From each of the pair in turn, so that one hand-over at least is seen.
    for (index, node) in [&one, &other].into_iter().enumerate() {
        let witness =
            Etcd::new(&spec(&server), uuid::Uuid::from_u128(7), &[server.addresses()[2].ip()], None);
        let not_me = [server.addresses()[1 - index].ip(), server.addresses()[2].ip()];
        assert!(witness.lead_elsewhere(&not_me).await.unwrap(), "the third hands over to m{index}");
        assert_eq!(server.leader(), Some(index));
        assert!(!witness.lead_elsewhere(&pair).await.unwrap(), "the third does not lead now");
        assert!(node.lead_elsewhere(&pair).await.unwrap());
        assert_eq!(server.leader(), Some(2));
        assert_eq!(node.read().await.unwrap(), Some(register(1, "n1")));
    }
    let stranger = client(&server);
    assert!(!stranger.lead_elsewhere(&pair).await.unwrap(), "who has no member of its own moves nothing");
}
