//! The table as a table, and single decisions that an operator would ask about.

use std::collections::BTreeSet;

use fsm::{
    Action, Arbiter, Command, Config, Copied, Flag, Heard, Include, Memory, Mode, Names, Observation, Point,
    Postgres, Redis, Register, Role, State, TABLE, Vip, step,
};
use uuid::Uuid;

const BOOT: Uuid = Uuid::from_u128(1);
const AT: Point = Point { epoch: 1, join: 1 };

fn primary() -> State {
    State::first_primary(Uuid::from_u128(7), "n1").paired(AT)
}

fn standby() -> State {
    let flag = Some(Flag { epoch: 1, join: 1, boot_id: BOOT });
    State { flag, ..State::joined_standby(Uuid::from_u128(7), "n2", "n1", AT) }
}

fn heard(state: State) -> Heard {
    Heard {
        state,
        boot_id: Uuid::from_u128(2),
        echoes_me: true,
        answers: Some(BOOT),
        postgres_failed: false,
        postgres_stopped: false,
        fit: true,
    }
}

/// A node whose PostgreSQL runs as `state` says, beside `peer`.
fn observed(state: &State, peer: Option<State>) -> Observation {
    let standby = state.role == Role::Standby;
    Observation {
        boot_id: BOOT,
        peer: peer.map(heard),
        memory: Memory::default(),
        grant: None,
        postgres: Postgres {
            running: true,
            hung: false,
            complete: true,
            standby,
            names: if standby { Names::Empty } else { Names::Peer(AT) },
            upstream: standby.then_some(AT),
            receiver: standby,
            clients: !standby,
            flush: 100,
            replay: 100,
            switch_point: None,
            follower: (!standby).then_some(AT),
            barrier: None,
            row: None,
            slot: true,
            refused: None,
            copy: Copied::Not,
            noted: None,
        },
        redis: if standby { Redis::ReplicaOfPeer } else { Redis::Master },
        vip: Vip { offered: !standby, claimed_by_other: false, gateway_reached: true },
        register: None,
        command: None,
        peer_answers: false,
        unfit: false,
        maintenance: false,
        overdue: false,
    }
}

fn solo(force: bool) -> Option<Command> {
    Some(Command::Solo { peer_is_off: true, peer_did_not_take_over: true, force })
}

#[test]
fn rows_have_names_and_reasons_of_their_own() {
    let names: BTreeSet<_> = TABLE.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), TABLE.len());
    assert!(TABLE.iter().all(|row| row.why.len() > 5 && row.rule <= 16));
}

#[test]
fn a_flagged_standby_takes_over_in_one_write_and_an_unflagged_one_waits() {
    let state = standby();
    let config = Config::new("n1", Arbiter::None);
    let decision = step(&state, &observed(&state, None), &config);
    assert_eq!((decision.row, decision.rule), ("take-over", 7));
    let next = decision.next;
    assert_eq!((next.role, next.mode, next.epoch, next.owner.as_str()), (Role::Primary, Mode::Solo, 2, "n2"));
    assert_eq!((next.mark, next.flag, next.forced), (AT, None, false));

    let unflagged = State { flag: None, ..standby() };
    assert_eq!(step(&unflagged, &observed(&unflagged, None), &config).row, "standby: lone");
}

#[test]
fn a_reboot_burns_the_flag_except_with_etcd() {
    let state = standby();
    let rebooted = Observation { boot_id: Uuid::from_u128(9), ..observed(&state, Some(primary())) };
    let decision = step(&state, &rebooted, &Config::new("n1", Arbiter::None));
    assert_eq!((decision.row, decision.next.mark, decision.next.flag), ("boot", AT, None));
    assert_ne!(step(&state, &rebooted, &Config::new("n1", Arbiter::Etcd)).row, "boot");
}

#[test]
fn solo_is_refused_while_the_peer_answers_and_marks_the_epoch_when_obeyed() {
    let state = primary();
    let config = Config::new("n2", Arbiter::None);
    let alive = Observation { command: solo(false), ..observed(&state, Some(standby())) };
    let decision = step(&state, &alive, &config);
    assert!(matches!(decision.actions[..], [Action::Refuse(_)]), "{decision:?}");

    let away = Observation { command: solo(false), ..observed(&state, None) };
    let next = step(&state, &away, &config).next;
    assert_eq!((next.mode, next.epoch, next.forced), (Mode::Solo, 2, true));

    let forced = Observation { command: solo(true), ..observed(&state, Some(standby())) };
    assert!(step(&state, &forced, &config).next.forced);
}

#[test]
fn with_etcd_a_persons_word_asks_for_the_next_epoch_and_forces_nothing() {
    let state = primary();
    let config = Config::new("n2", Arbiter::Etcd);
    let register = |epoch, owner: &str| Some(Register { epoch, owner: owner.into() });
    let alive = Observation {
        command: solo(false),
        register: register(1, "n1"),
        ..observed(&state, Some(standby()))
    };
    let decision = step(&state, &alive, &config);
    assert!(matches!(decision.actions[..], [Action::Refuse(_)]), "{decision:?}");

    let asserted = Observation { command: solo(true), ..alive };
    let decision = step(&state, &asserted, &config);
    assert!(matches!(decision.actions[..], [Action::CasEpoch { from: 1, .. }]), "{decision:?}");
    let granted = Observation { register: register(2, "n1"), ..asserted.clone() };
    let next = step(&state, &granted, &config).next;
    assert_eq!((next.mode, next.epoch, next.forced), (Mode::Solo, 2, false));
    let taken = Observation { register: register(2, "n2"), ..asserted };
    let decision = step(&state, &taken, &config);
    assert!(matches!(decision.actions[..], [Action::Refuse(_)]), "{decision:?}");
}

#[test]
fn a_held_node_is_closed_before_a_person_is_asked() {
    let state = State { role: Role::Hold, ..primary() };
    let config = Config::new("n2", Arbiter::None);
    let mut seen = observed(&state, None);
    (seen.postgres.running, seen.postgres.complete, seen.vip.offered) = (false, true, false);
    let decision = step(&state, &seen, &config);
    let closed = Include { names: Names::Barrier, upstream: None, clients: false };
    assert_eq!(decision.actions, [Action::WriteInclude(closed)]);
    (seen.postgres.names, seen.postgres.upstream, seen.postgres.clients) = (Names::Barrier, None, false);
    assert_eq!(step(&state, &seen, &config).row, "hold: wait");
}

#[test]
fn a_paired_primary_in_limbo_keeps_the_address_and_says_what_to_type() {
    let state = primary();
    let seen = observed(&state, None);
    let decision = step(&state, &seen, &Config::new("n2", Arbiter::None));
    assert_eq!(decision.row, "paired: limbo");
    assert!(
        matches!(decision.actions[..], [Action::Alarm(text)] if text.contains("tandem solo --peer-is-dead"))
    );

    let claimed = Observation { vip: Vip { claimed_by_other: true, ..seen.vip }, ..seen };
    let decision = step(&state, &claimed, &Config::new("n2", Arbiter::None));
    assert_eq!(decision.actions, [Action::VipDrop]);

    // One that acknowledges alone is whom the address belongs to: an older holder may still claim it.
    let solo = State { mode: Mode::Solo, epoch: 2, ..primary() };
    let seen = observed(&solo, None);
    let claimed = Observation { vip: Vip { claimed_by_other: true, ..seen.vip }, ..seen };
    let decision = step(&solo, &claimed, &Config::new("n2", Arbiter::None));
    assert!(!decision.actions.contains(&Action::VipDrop), "{decision:?}");
}

#[test]
fn a_solo_node_never_rejoins_by_itself() {
    let state = State { mode: Mode::Solo, epoch: 2, ..primary() };
    let ahead = State { role: Role::Primary, mode: Mode::Solo, epoch: 3, owner: "n2".into(), ..standby() };
    let decision = step(&state, &observed(&state, Some(ahead.clone())), &Config::new("n2", Arbiter::None));
    assert_eq!(decision.next.role, Role::Hold);

    let paired = primary();
    let mut seen = observed(&paired, Some(ahead));
    seen.vip.offered = false;
    let decision = step(&paired, &seen, &Config::new("n2", Arbiter::None));
    assert_eq!((decision.next.role, decision.next.epoch), (Role::Rejoining, 3));
}

#[test]
fn a_demoted_primary_is_followed_when_its_last_log_is_sent_and_not_before() {
    let state = standby();
    let config = Config::new("n1", Arbiter::None);
    let demoted = State { role: Role::Demoted, ..primary() };
    let mut seen = observed(&state, Some(demoted));
    assert_eq!(step(&state, &seen, &config).row, "standby: steady");
    if let Some(peer) = &mut seen.peer {
        peer.postgres_stopped = true;
    }
    assert_eq!(step(&state, &seen, &config).row, "take-over");
}

#[test]
fn a_frozen_server_is_stopped_whatever_the_role() {
    for (state, peer) in [(primary(), standby()), (standby(), primary())] {
        let mut seen = observed(&state, Some(peer));
        seen.postgres.hung = true;
        assert_eq!(step(&state, &seen, &Config::new("n1", Arbiter::None)).actions, [Action::StopPostgres]);
    }
}

#[test]
fn a_node_that_cannot_serve_steps_down_to_one_that_can() {
    let state = primary();
    let config = Config::new("n2", Arbiter::None);
    let unfit = |seen: Observation| Observation { unfit: true, ..seen };
    let mut seen = unfit(observed(&state, Some(standby())));
    assert_eq!(step(&state, &seen, &config).actions, [Action::VipDrop]);
    seen.vip.offered = false;
    assert_eq!(step(&state, &seen, &config).next.role, Role::Demoted);
    // Not to one that is no better, and not to one that may not take over.
    if let Some(peer) = &mut seen.peer {
        peer.fit = false;
    }
    assert_eq!(step(&state, &seen, &config).next, state);
    let unflagged = State { flag: None, ..standby() };
    assert_eq!(step(&state, &unfit(observed(&state, Some(unflagged))), &config).next, state);
}

#[test]
fn a_refused_switchover_says_what_it_lacks() {
    let primary = primary();
    let refused = |peer: Option<State>, change: &dyn Fn(&mut Observation)| {
        let mut seen = Observation { command: Some(Command::Switchover), ..observed(&primary, peer) };
        change(&mut seen);
        let done = step(&primary, &seen, &Config::new("n2", Arbiter::None));
        let [Action::Refuse(words)] = done.actions[..] else { panic!("{}: {:?}", done.row, done.actions) };
        words
    };

    assert!(refused(None, &|_| {}).starts_with("the other node is not heard"));
    assert!(refused(Some(self::primary()), &|_| {}).starts_with("the other node is not a standby"));
    assert!(
        refused(Some(State { flag: None, ..standby() }), &|_| {})
            .starts_with("the standby may not take over")
    );
    assert!(
        refused(Some(standby()), &|seen| seen.postgres.follower = None)
            .starts_with("the standby does not stream")
    );
    assert!(
        refused(Some(standby()), &|seen| {
            if let Some(peer) = &mut seen.peer {
                peer.echoes_me = false;
            }
        })
        .starts_with("the standby does not hear")
    );
    let alone = State { mode: Mode::Solo, ..primary.clone() };
    let mut seen = Observation { command: Some(Command::Switchover), ..observed(&alone, Some(standby())) };
    seen.postgres.names = Names::Empty;
    let done = step(&alone, &seen, &Config::new("n2", Arbiter::None));
    assert!(
        matches!(done.actions[..], [Action::Refuse(words)] if words.starts_with("no standby follows")),
        "{done:?}"
    );
}
