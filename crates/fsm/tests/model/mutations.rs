//! Each of the protocol's counterexamples, found by the checker when its rule is broken.

use fsm::{Arbiter, Mutation};

use crate::scenarios::PLAIN;
use crate::start::NO_FAULTS;
use crate::world::{Budget, Environment, Person, Scenario};
use crate::{caught, explore};
use stateright::Checker;

/// One crash of each node, a truthful person: what most counterexamples need.
const USUAL: Scenario =
    Scenario { person: Person::Truthful, budget: Budget { crashes: 2, commands: 1, ..NO_FAULTS }, ..PLAIN };
const FENCED: Scenario =
    Scenario { arbiter: Arbiter::Fence, budget: Budget { crashes: 1, fences: 2, ..NO_FAULTS }, ..PLAIN };

fn broken(name: &'static str, mutation: Mutation, scenario: Scenario) {
    caught(&Scenario { name, mutation: Some(mutation), ..scenario });
}

fn environment(name: &'static str, environment: Environment, scenario: Scenario) {
    caught(&Scenario { name, environment: Some(environment), ..scenario });
}

#[test]
fn m01_fence_gates_only_the_primary() {
    broken("1 fence gates only the primary", Mutation::FenceGatesPrimaryOnly, FENCED);
}

#[test]
fn m02_etcd_gates_only_the_primary() {
    broken(
        "2 etcd gates only the primary",
        Mutation::EtcdGatesPrimaryOnly,
        Scenario { arbiter: Arbiter::Etcd, ..PLAIN },
    );
}

#[test]
fn m03_flag_survives_a_reboot() {
    broken("3 the flag survives a reboot", Mutation::FlagSurvivesReboot, USUAL);
}

#[test]
fn m04_a_person_forgets_the_take_over() {
    let name = "4 a person forgets that the peer had taken over";
    caught(&Scenario { name, person: Person::Forgetful, environment: Some(Environment::Nothing), ..USUAL });
}

#[test]
fn m05_flag_and_epoch_in_two_writes() {
    broken("5 flag burnt and epoch taken in two writes", Mutation::TakeOverInTwoWrites, PLAIN);
}

#[test]
fn m06_give_up_without_join() {
    let scenario =
        Scenario { epoch_max: 2, join_max: 2, budget: Budget { crashes: 1, ..NO_FAULTS }, ..PLAIN };
    broken("6 give-up without a join number", Mutation::GiveUpWithoutJoin, scenario);
}

#[test]
fn m07_grant_not_bound_to_the_boot() {
    broken(
        "7 grant not bound to the boot",
        Mutation::GrantNotBoundToBoot,
        Scenario { paired: false, ..USUAL },
    );
}

#[test]
fn m08_no_barrier() {
    broken("8 flag on 'seen in sync', no barrier", Mutation::NoBarrier, Scenario { paired: false, ..PLAIN });
}

#[test]
fn m09_granted_before_durable() {
    broken(
        "9 sync effective but not durable",
        Mutation::GrantBeforeDurable,
        Scenario { paired: false, ..PLAIN },
    );
}

#[test]
fn m10_base_copy_with_the_flag() {
    let budget = Budget { crashes: 1, losses: 1, ..NO_FAULTS };
    broken("10 base copy with the flag set", Mutation::CopyWithFlag, Scenario { budget, ..PLAIN });
}

#[test]
fn m11_a_rebooted_primary_fences_at_once() {
    broken("11a a rebooted primary fences at once", Mutation::FenceAtOnce, FENCED);
}

#[test]
fn m11_a_stale_confirmation() {
    broken("11b a stale confirmation", Mutation::StaleFence, FENCED);
}

/// Found by this model, not one of the protocol's nineteen.
#[test]
fn m11_a_late_heartbeat_revives_a_confirmation() {
    let scenario = Scenario { budget: Budget { fences: 2, delays: 1, ..NO_FAULTS }, ..FENCED };
    broken("11c a late heartbeat revives a confirmation", Mutation::LateRevivesFence, scenario);
}

#[test]
fn m12_a_solo_node_rejoins() {
    let scenario = Scenario { person: Person::Wrong, budget: Budget { commands: 1, ..NO_FAULTS }, ..PLAIN };
    broken("12a automatic rejoin of a solo node", Mutation::RejoinSolo, scenario);
}

#[test]
fn m12_rejoin_to_a_forced_epoch() {
    broken(
        "12b automatic rejoin to a forced epoch",
        Mutation::RejoinForced,
        Scenario { person: Person::Wrong, ..USUAL },
    );
}

#[test]
fn m13_conflict_is_success() {
    let budget = Budget { crashes: 1, cancels: 1, ..NO_FAULTS };
    environment(
        "13 'already there' told without waiting",
        Environment::ConflictIsSuccess,
        Scenario { budget, ..PLAIN },
    );
}

#[test]
fn m14_cancelled_wait_is_success() {
    let budget = Budget { crashes: 1, cancels: 1, ..NO_FAULTS };
    environment(
        "14 a cancelled wait taken for success",
        Environment::CancelIsSuccess,
        Scenario { budget, ..PLAIN },
    );
}

#[test]
fn m15_known_committed_by_local() {
    environment("15 known committed by a local commit", Environment::LocalIsKnown, PLAIN);
}

#[test]
fn m16_a_held_primary_promoted() {
    broken("16a a held primary is promoted", Mutation::PromoteHeldPrimary, PLAIN);
}

#[test]
fn m16_nothing_to_rewind_believed() {
    broken(
        "16b 'no rewind required' believed",
        Mutation::BelieveNothingToRewind,
        Scenario { epoch_max: 3, ..PLAIN },
    );
}

/// Not a wrong step but none at all: what must be possible is not.
#[test]
fn m17_no_echo() {
    let name = "17 one-way heartbeat without echo";
    let checker = explore(&Scenario {
        name,
        mutation: Some(Mutation::NoEcho),
        one_way: true,
        budget: NO_FAULTS,
        ..PLAIN
    });
    assert!(checker.discovery("taken over").is_none(), "{name}: not caught");
    println!("model: {name}: caught, no take-over in any of {} states", checker.unique_state_count());
}

#[test]
fn m18_remote_write() {
    let scenario = Scenario { lazy_flush: true, budget: Budget { crashes: 2, ..NO_FAULTS }, ..PLAIN };
    environment("18 remote_write", Environment::RemoteWrite, scenario);
}

#[test]
fn m19_address_on_silence() {
    broken("19 the address on silence", Mutation::VipOnSilence, PLAIN);
}
