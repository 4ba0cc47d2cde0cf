//! Random faults in a row, the same for the same seed.

use crate::cases::{CASES, Case};
use crate::seed::Seed;

/// Faults in one run at most.
pub const FAULTS_MAX: u32 = 10_000;
/// One in so many is the death of the active node, so that its time can be told.
const DEATH_EVERY: u64 = 3;

/// What is drawn for a seed.
pub fn draw(seed: u64, count: u32, arbiter: &str) -> Vec<&'static Case> {
    let random: Vec<&'static Case> = CASES.iter().filter(|case| case.random && case.fits(arbiter)).collect();
    let death = random.iter().find(|case| case.name == "active-dies").copied();
    let mut seed = Seed::new(seed);
    (0..count)
        .filter_map(|_| {
            let any = seed.choose(&random).copied();
            if seed.below(DEATH_EVERY) == 0 { death.or(any) } else { any }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_the_same_faults_again_and_all_kinds_of_them() {
        let names = |seed, count| draw(seed, count, "none").iter().map(|case| case.name).collect::<Vec<_>>();
        assert_eq!(names(5, 30), names(5, 30));
        assert_eq!(names(5, 30)[..10], names(5, 10));
        assert_ne!(names(5, 30), names(6, 30));
        let mut all = names(1, 2_000);
        assert!(all.iter().filter(|name| **name == "active-dies").count() > 500);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), CASES.iter().filter(|case| case.random && case.fits("none")).count());
        assert!(!all.contains(&"flapping") && !all.contains(&"witness-dies"));
    }
}
