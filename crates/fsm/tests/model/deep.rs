//! The same with larger bounds: `make model`.

use fsm::Arbiter;

use crate::holds;
use crate::scenarios::PLAIN;
use crate::start::NO_FAULTS;
use crate::world::{Budget, Person, Scenario};

#[test]
#[ignore = "minutes: make model"]
fn none() {
    let name = "deep: none: a crash, three epochs, two joins";
    holds(&Scenario { name, epoch_max: 3, join_max: 2, ..PLAIN });
}

#[test]
#[ignore = "minutes: make model"]
fn person() {
    let budget = Budget { crashes: 2, commands: 2, ..NO_FAULTS };
    let name = "deep: none: two crashes, a truthful person, switchover";
    holds(&Scenario { name, person: Person::Truthful, switchover: true, budget, ..PLAIN });
}

#[test]
#[ignore = "minutes: make model"]
fn fence() {
    let budget = Budget { fences: 2, delays: 1, ..NO_FAULTS };
    let name = "deep: fence: two fences, a late heartbeat";
    holds(&Scenario { name, arbiter: Arbiter::Fence, budget, ..PLAIN });
}

#[test]
#[ignore = "minutes: make model"]
fn fence_crash() {
    let budget = Budget { crashes: 1, fences: 2, ..NO_FAULTS };
    holds(&Scenario { name: "deep: fence: a crash, two fences", arbiter: Arbiter::Fence, budget, ..PLAIN });
}

#[test]
#[ignore = "minutes: make model"]
fn joining() {
    let budget = Budget { crashes: 1, agent_crashes: 1, ..NO_FAULTS };
    let name = "deep: none: a first join, a crash, a crash of agent or postmaster";
    holds(&Scenario { name, paired: false, budget, ..PLAIN });
}

#[test]
#[ignore = "minutes: make model"]
fn wrong_person() {
    let budget = Budget { crashes: 2, commands: 2, ..NO_FAULTS };
    let name = "deep: none: a wrong person twice, two crashes";
    holds(&Scenario { name, person: Person::Wrong, budget, ..PLAIN });
}

#[test]
#[ignore = "minutes: make model"]
fn clients() {
    let budget = Budget { crashes: 1, writes: 2, ..NO_FAULTS };
    let name = "deep: none: two rows, late flushes, a crash";
    holds(&Scenario { name, lazy_flush: true, budget, ..PLAIN });
}
