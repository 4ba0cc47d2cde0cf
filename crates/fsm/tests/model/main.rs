//! The failover table, checked: two nodes run [`fsm::step`] over an abstract PostgreSQL while everything fails.
#![allow(clippy::cast_possible_truncation, reason = "the world counts to a dozen")]

mod checker;
mod deep;
mod execute;
mod log;
mod mutations;
mod observe;
mod postgres;
mod scenarios;
mod settle;
mod start;
mod world;

use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use crate::checker::Pair;
use crate::world::Scenario;

/// Checks everything within the scenario's bounds, prints what that was, and says what was found.
fn explore(scenario: &Scenario) -> impl Checker<Pair> + use<> {
    let began = Instant::now();
    let only_failures = scenario.mutation.is_some() || scenario.environment.is_some();
    let finish = if only_failures { HasDiscoveries::AnyFailures } else { HasDiscoveries::All };
    let threads = if only_failures { 1 } else { 2 };
    let checker = Pair(scenario.clone()).checker().finish_when(finish).threads(threads).spawn_bfs().join();
    println!(
        "model: {}: {} states ({} generated), depth {}, {:.1} s",
        scenario.name,
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        began.elapsed().as_secs_f32()
    );
    checker
}

/// The table as it is: every property holds, everything that should be possible is.
fn holds(scenario: &Scenario) {
    let checker = explore(scenario);
    let mut wrong = false;
    for property in checker.model().properties() {
        let found = checker.discovery(property.name);
        match property.expectation {
            stateright::Expectation::Sometimes if found.is_none() => {
                println!("never: {}", property.name);
                wrong = true;
            }
            stateright::Expectation::Always => {
                if let Some(path) = found {
                    print_path(property.name, path);
                    wrong = true;
                }
            }
            _ => {}
        }
    }
    assert!(!wrong, "{}: see above", scenario.name);
}

fn print_path(name: &str, path: stateright::Path<world::World, checker::Event>) {
    println!("violated: {name}");
    for (state, event) in path.into_vec() {
        for (node, it) in state.nodes.iter().enumerate() {
            let (s, p) = (&it.state, &it.pg);
            println!(
                "      n{}{} {:?} {:?} {:?} owner n{} flag {:?} mark {:?}{} | {} {} {:?}/{:?} up {:?} clients {} {:?} waiting {:b} | {:?}",
                node + 1,
                if it.up { "" } else { " OFF" },
                s.role,
                s.mode,
                s.at,
                s.owner + 1,
                s.flag,
                s.mark,
                if s.forced { " forced" } else { "" },
                if p.running { "runs" } else { "stopped" },
                if p.signal { "standby" } else { "primary" },
                p.names,
                p.effective,
                p.upstream,
                p.clients,
                p.log,
                p.waiting,
                it.mind
            );
        }
        println!(
            "      grants {:?} acknowledged {:b} register {:?}",
            state.grants, state.acknowledged, state.register
        );
        println!("  {event:?}");
    }
}

/// A broken rule: the checker must see one of the properties violated; the shortest way there is printed.
fn caught(scenario: &Scenario) {
    let checker = explore(scenario);
    let failed: Vec<_> = checker
        .discoveries()
        .into_iter()
        .filter(|(name, _)| {
            let property = checker.model().property(name);
            matches!(property.expectation, stateright::Expectation::Always)
        })
        .collect();
    let shortest = failed.into_iter().min_by_key(|(_, path)| path.clone().into_actions().len());
    assert!(shortest.is_some(), "{}: not caught", scenario.name);
    let Some((name, path)) = shortest else { return };
    println!("model: {}: caught in {} steps: {name}", scenario.name, path.clone().into_actions().len());
    if std::env::var_os("TANDEM_MODEL_PATHS").is_some() {
        print_path(name, path);
    }
}
