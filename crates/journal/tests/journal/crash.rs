//! Kills and power cuts, at random and at every operation; and that each fsync is needed for that.

use std::collections::BTreeMap;

use journal::storage::SyncPoint;

use crate::life::{Seen, World};
use crate::oracle::Violation;
use crate::sim::Survives;

const SEEDS: u64 = 300;
/// Lives that are ended at every operation.
const LIVES: u64 = 2;
/// A journal without one of its fsyncs must be caught within as many such lives; one or two do as a rule.
const LIVES_WITHOUT_A_SYNC: u64 = 8;

/// Five processes one after the other, each dying somewhere.
fn die_anywhere(seed: u64, seen: &mut Seen) -> Result<(), Violation> {
    let mut world = World::new(seed);
    for _ in 0..5 {
        let death = world.disk.operations() + world.dice.below(60);
        world.disk.die_at_operation(Some(death));
        world.live(40)?;
        world.crash();
    }
    world.settle()?;
    seen.add(&world);
    Ok(())
}

#[test]
fn acknowledged_records_survive_any_crash() {
    let mut seen = Seen::default();
    for seed in 0..SEEDS {
        if let Err(violation) = die_anywhere(seed, &mut seen) {
            panic!("seed {seed}: {violation}");
        }
    }
    println!("{seen:?}");
    seen.must_be_worth_it();
}

/// One life, ended at each of its operations in turn, by a kill and by power cuts; then a short one, and the power
/// goes again.
fn die_everywhere(seed: u64, taken_out: Option<SyncPoint>) -> Result<(), Violation> {
    let live = |death: Option<u64>| -> Result<World, Violation> {
        let mut world = World::new(seed);
        if let Some(point) = taken_out {
            world.disk.take_out(point);
        }
        world.disk.die_at_operation(death);
        world.live(30)?;
        Ok(world)
    };
    let crashes = [
        None,
        Some(Survives::Nothing),
        Some(Survives::LastName),
        Some(Survives::AnyPart),
        Some(Survives::Everything),
    ];
    for death in 0..live(None)?.disk.operations() {
        for crash in crashes {
            let after = || -> Result<(), Violation> {
                let mut world = live(Some(death))?;
                match crash {
                    None => world.disk.kill(),
                    Some(survives) => world.disk.cut_power(survives),
                }
                world.disk.die_at_operation(None);
                world.live(6)?;
                world.disk.cut_power(Survives::Nothing);
                world.settle()
            };
            after()
                .map_err(|v| format!("seed {seed}, death at operation {death}, survives {crash:?}: {v}"))?;
        }
    }
    Ok(())
}

#[test]
fn a_process_may_die_at_every_operation() {
    for seed in 0..LIVES {
        if let Err(violation) = die_everywhere(seed, None) {
            panic!("{violation}");
        }
    }
}

/// Take out any one fsync, and a promise is broken: so none is there for nothing.
#[test]
fn every_fsync_is_needed() {
    let mut caught = BTreeMap::new();
    for point in SyncPoint::ALL {
        let violation = (0..LIVES_WITHOUT_A_SYNC).find_map(|seed| die_everywhere(seed, Some(point)).err());
        match violation {
            Some(violation) => caught.insert(point, violation),
            None => panic!("nothing is lost without the fsync {point:?}: it is not needed, or not tested"),
        };
    }
    println!("{caught:#?}");
}
