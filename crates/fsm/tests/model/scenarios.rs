//! The table as it is, within the bounds of `make test`. `deep.rs` has the larger ones.

use fsm::Arbiter;

use crate::holds;
use crate::start::NO_FAULTS;
use crate::world::{Budget, Person, Scenario};

pub const PLAIN: Scenario = Scenario {
    name: "",
    arbiter: Arbiter::None,
    mutation: None,
    environment: None,
    person: Person::Absent,
    budget: Budget { crashes: 1, ..NO_FAULTS },
    epoch_max: 2,
    join_max: 1,
    lazy_flush: false,
    one_way: false,
    switchover: false,
    settles: false,
    paired: true,
};

#[test]
fn crashes() {
    holds(&Scenario { name: "none: two crashes", budget: Budget { crashes: 2, ..NO_FAULTS }, ..PLAIN });
}

#[test]
fn joining() {
    let budget = Budget { agent_crashes: 1, ..NO_FAULTS };
    holds(&Scenario {
        name: "none: a first join, a crash of agent or postmaster",
        paired: false,
        budget,
        ..PLAIN
    });
}

#[test]
fn person() {
    let budget = Budget { crashes: 2, commands: 1, ..NO_FAULTS };
    let name = "none: two crashes, a truthful person";
    holds(&Scenario { name, person: Person::Truthful, budget, ..PLAIN });
}

#[test]
fn switchover() {
    let budget = Budget { crashes: 1, commands: 2, ..NO_FAULTS };
    let name = "none: switchover, abort, a crash";
    holds(&Scenario { name, switchover: true, budget, ..PLAIN });
}

#[test]
fn fence() {
    let budget = Budget { fences: 2, ..NO_FAULTS };
    holds(&Scenario { name: "fence: two fences", arbiter: Arbiter::Fence, budget, ..PLAIN });
}

#[test]
fn etcd() {
    let budget = Budget { crashes: 2, ..NO_FAULTS };
    holds(&Scenario { name: "etcd: two crashes", arbiter: Arbiter::Etcd, budget, ..PLAIN });
}

#[test]
fn late() {
    let budget = Budget { crashes: 1, delays: 1, ..NO_FAULTS };
    holds(&Scenario { name: "none: a crash, a late heartbeat", budget, join_max: 2, ..PLAIN });
}

#[test]
fn log_gone() {
    let budget = Budget { crashes: 1, losses: 1, ..NO_FAULTS };
    holds(&Scenario { name: "none: a crash, log removed", budget, join_max: 2, ..PLAIN });
}

#[test]
fn clients() {
    let budget = Budget { crashes: 1, cancels: 1, ..NO_FAULTS };
    let name = "none: cancelled waits, local commits, late flushes";
    holds(&Scenario { name, lazy_flush: true, budget, ..PLAIN });
}

#[test]
fn one_way() {
    holds(&Scenario { name: "none: one direction cut for ever", one_way: true, budget: NO_FAULTS, ..PLAIN });
}

#[test]
fn settles_none() {
    holds(&Scenario { name: "none: a crash, then settling", settles: true, ..PLAIN });
}

#[test]
fn settles_fence() {
    let budget = Budget { fences: 1, ..NO_FAULTS };
    holds(&Scenario {
        name: "fence: a fence, then settling",
        settles: true,
        arbiter: Arbiter::Fence,
        budget,
        ..PLAIN
    });
}

#[test]
fn settles_etcd() {
    holds(&Scenario { name: "etcd: a crash, then settling", settles: true, arbiter: Arbiter::Etcd, ..PLAIN });
}

#[test]
fn settles_join() {
    let name = "none: a first join, a crash, then settling";
    holds(&Scenario { name, settles: true, paired: false, ..PLAIN });
}

#[test]
fn settles_log_gone() {
    let budget = Budget { losses: 1, agent_crashes: 1, ..NO_FAULTS };
    holds(&Scenario {
        name: "none: log removed, agent crash, then settling",
        settles: true,
        budget,
        ..PLAIN
    });
}

#[test]
fn wrong_person() {
    let budget = Budget { crashes: 1, commands: 1, ..NO_FAULTS };
    let name = "none: a wrong person, a crash";
    holds(&Scenario { name, person: Person::Wrong, budget, ..PLAIN });
}

#[test]
fn wrong_person_with_etcd() {
    // Asking etcd and going on alone are two looks at one command.
    let budget = Budget { crashes: 1, commands: 2, ..NO_FAULTS };
    let name = "etcd: a wrong person, a crash";
    holds(&Scenario { name, arbiter: Arbiter::Etcd, person: Person::Wrong, budget, ..PLAIN });
}
