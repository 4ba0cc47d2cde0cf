use std::time::Duration;

use nix::sys::signal::Signal;
use testkit::or_skip;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_who_want_the_same_epoch_exactly_one_wins() {
    let server = or_skip!(Server::start(3));
    let (a, b) = (client(&server), client(&server));
    a.init(&register(1, "n1")).await.unwrap();
    let mut wins = [0, 0];
    for epoch in 1..=60 {
        let (mine, yours) = (register(epoch + 1, "n1"), register(epoch + 1, "n2"));
        let (one, other) = tokio::join!(a.cas(epoch, &mine), b.cas(epoch, &yours));
        let (one, other) = (one.unwrap(), other.unwrap());
        assert!(one != other, "epoch {epoch}: n1 {one}, n2 {other}");
        wins[usize::from(other)] += 1;
        let owner = if one { mine } else { yours };
        assert_eq!(a.read().await.unwrap(), Some(owner.clone()));
        assert_eq!(b.read().await.unwrap(), Some(owner));
    }
    println!("won: n1 {}, n2 {}", wins[0], wins[1]);
}

/// What a client was told is what happened, or it was told nothing and a read says.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn with_the_leader_killed_in_the_middle_a_read_settles_what_happened() {
    let mut server = or_skip!(Server::start(3));
    let (a, b) = (client(&server), client(&server));
    a.init(&register(1, "n1")).await.unwrap();
    let (mut epoch, mut ambiguous) = (1, 0);
    for round in 0..8 {
        let leader = loop {
            match server.leader() {
                Some(leader) => break leader,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        let (mine, yours) = (register(epoch + 1, "n1"), register(epoch + 1, "n2"));
        let asking = tokio::spawn({
            let (a, b, mine, yours) = (a.clone(), b.clone(), mine.clone(), yours.clone());
            async move { tokio::join!(a.cas(epoch, &mine), b.cas(epoch, &yours)) }
        });
        // At another moment of the exchange each round; half of the leaders hang instead of dying.
        tokio::time::sleep(Duration::from_micros(1_500 * round)).await;
        let hangs = round % 2 == 1;
        if hangs {
            server.signal(leader, Signal::SIGSTOP);
        } else {
            server.kill9(leader);
        }
        let (one, other) = asking.await.unwrap();
        // A question without an answer may be on its way still, to the member that hung as well.
        if hangs {
            server.signal(leader, Signal::SIGCONT);
        } else {
            server.restart(leader).unwrap();
        }
        ambiguous += u32::from(one.is_err()) + u32::from(other.is_err());
        assert!(!(matches!(one, Ok(true)) && matches!(other, Ok(true))), "both won epoch {epoch}");
        let mut found = settled(&a).await.unwrap();
        // One that was on its way may arrive between two reads; once, and then all agree.
        for _ in 0..2 {
            found = settled(&b).await.unwrap();
        }
        assert_eq!(settled(&a).await.unwrap(), found, "two readers agree");
        match (&one, &other) {
            (Ok(true), _) => assert_eq!(found, mine),
            (_, Ok(true)) => assert_eq!(found, yours),
            _ => {}
        }
        if found.epoch == epoch {
            continue;
        }
        assert!(found == mine || found == yours, "{found:?}");
        epoch += 1;
    }
    println!("{} epochs taken, {ambiguous} answers ambiguous", epoch - 1);
}
