//! What is in the database of what the probes wrote: looked at as the superuser, on both nodes, and taken away again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::interrupt::pause;
use crate::pair::Pair;
use crate::probe::{Log, Probe};

/// One row a commit; no key, so that a row that is there twice shows.
pub const TABLE: &str = "faults.written";
/// From the journals through Redis into the table, after the last fault.
const CDR_WAIT: Duration = Duration::from_secs(45);
/// Until the standby shows what it has.
const STANDBY_WAIT: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How often each number is there.
pub type Counts = BTreeMap<u64, u32>;

/// On one node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    pub of: BTreeMap<Probe, Counts>,
}

impl Written {
    pub fn times(&self, probe: Probe, number: u64) -> u32 {
        self.of.get(&probe).and_then(|counts| counts.get(&number)).copied().unwrap_or(0)
    }

    /// Acknowledged and not there.
    pub fn lost(&self, log: &Log) -> Vec<(Probe, u64)> {
        WRITERS
            .into_iter()
            .flat_map(|probe| log.acknowledged(probe).into_iter().map(move |number| (probe, number)))
            .filter(|(probe, number)| self.times(*probe, *number) == 0)
            .collect()
    }

    /// There more than once, acknowledged or not.
    pub fn twice(&self) -> Vec<(Probe, u64)> {
        let all = self.of.iter().flat_map(|(probe, counts)| counts.iter().map(move |each| (*probe, each)));
        all.filter(|(_, (_, times))| **times > 1).map(|(probe, (number, _))| (probe, *number)).collect()
    }
}

/// Probes whose every acknowledgement must be found again.
pub const WRITERS: [Probe; 5] = [Probe::Http, Probe::Cdr, Probe::Sql, Probe::Direct(0), Probe::Direct(1)];

/// Makes the table; what an earlier run left goes.
pub fn prepare(pair: &Pair, active: usize) -> Result<()> {
    clear(pair, active)?;
    let sql = format!(
        "CREATE SCHEMA faults; CREATE TABLE {TABLE} (run text NOT NULL, via text NOT NULL, n bigint NOT NULL); \
         GRANT USAGE ON SCHEMA faults TO voip_admin; GRANT INSERT ON {TABLE} TO voip_admin"
    );
    pair.sql(active, &sql).context("making the probes' table").map(drop)
}

/// Takes away all that probes ever wrote.
pub fn clear(pair: &Pair, active: usize) -> Result<()> {
    let sql = "SET client_min_messages = warning; DROP SCHEMA IF EXISTS faults CASCADE; \
        DELETE FROM voip.queues WHERE name ~ '^f[0-9a-f]{8}-http-'; \
        DELETE FROM voip.cdr WHERE leg_uuid ~ '^f[0-9a-f]{8}-cdr-'";
    pair.sql(active, sql).context("removing what the probes wrote").map(drop)
}

/// Looks on both nodes: the primary until every acknowledged document is there, the standby until it shows the same.
///
/// # Errors
/// A node does not answer.
pub fn look(pair: &Pair, log: &Log, active: usize) -> Result<[Written; 2]> {
    let primary = until(CDR_WAIT, || read(pair, log, active), |seen| seen.lost(log).is_empty())?;
    let standby = until(STANDBY_WAIT, || read(pair, log, 1 - active), |seen| *seen == primary)?;
    Ok([primary, standby])
}

/// The last look, good or not.
fn until(
    wait: Duration,
    look: impl Fn() -> Result<Written>,
    good: impl Fn(&Written) -> bool,
) -> Result<Written> {
    let end = Instant::now() + wait;
    loop {
        let seen = look()?;
        if good(&seen) || Instant::now() >= end {
            return Ok(seen);
        }
        pause(LOOK_EVERY)?;
    }
}

/// What is there on a node now.
pub fn read(pair: &Pair, log: &Log, node: usize) -> Result<Written> {
    let run = &log.run;
    let sql = format!(
        "SELECT via, n, count(*) FROM {TABLE} WHERE run = '{run}' GROUP BY 1, 2 \
         UNION ALL SELECT 'http', split_part(name, '-', 3)::bigint, count(*) FROM voip.queues \
           WHERE starts_with(name, 'f{run}-http-') GROUP BY 2 \
         UNION ALL SELECT 'cdr', split_part(leg_uuid, '-', 3)::bigint, count(*) FROM voip.cdr \
           WHERE starts_with(leg_uuid, 'f{run}-cdr-') GROUP BY 2"
    );
    Ok(parse(&pair.sql(node, &sql)?))
}

/// Lines of probe, number and count.
fn parse(lines: &str) -> Written {
    let mut written = Written::default();
    for line in lines.lines() {
        let mut words = line.split(' ');
        let probe = words.next().and_then(|name| WRITERS.into_iter().find(|probe| probe.name() == name));
        let numbers = (words.next().and_then(|n| n.parse().ok()), words.next().and_then(|n| n.parse().ok()));
        if let (Some(probe), (Some(number), Some(times))) = (probe, numbers) {
            written.of.entry(probe).or_default().insert(number, times);
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_counted() {
        let written = parse("http 7 1\nsql 8 2\nn2 9 1\nnonsense 1 1\ncdr x 1\n");
        assert_eq!(written.times(Probe::Http, 7), 1);
        assert_eq!(written.times(Probe::Direct(1), 9), 1);
        assert_eq!(written.twice(), [(Probe::Sql, 8)]);
        assert_eq!(written.of.len(), 3);
    }
}
