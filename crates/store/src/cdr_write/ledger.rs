//! The ledger: for each node and hour, what became of the documents that were given to the store.

use std::collections::BTreeMap;

use jiff::{Timestamp, Unit};

use super::calls::Calls;
use super::insert::Candidate;
use super::{Content, Item};
use crate::Result;
use crate::transaction::Transaction;

/// One node's part of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Entry {
    /// The latest of its documents came in this hour; a batch spans moments.
    hour: Timestamp,
    legs: i64,
    events: i64,
    stored: i64,
    duplicates: i64,
    quarantined: i64,
}

#[derive(Default)]
pub(super) struct Ledger<'a>(BTreeMap<&'a str, Entry>);

impl<'a> Ledger<'a> {
    /// What the items are.
    pub(super) fn of(items: &'a [Item]) -> Self {
        let mut entries: BTreeMap<&str, Entry> = BTreeMap::new();
        for item in items {
            let entry = entries.entry(&item.node).or_default();
            entry.hour = entry.hour.max(hour_of(item.received));
            match item.content {
                Content::Leg(_) => entry.legs += 1,
                Content::Sip(_) => entry.events += 1,
                Content::Poison { .. } => {
                    entry.legs += 1;
                    entry.quarantined += 1;
                }
            }
        }
        Self(entries)
    }

    /// A document that was understood and that the database refused.
    pub(super) fn refused(item: &'a Item) -> Self {
        let mut ledger = Self::of(std::slice::from_ref(item));
        ledger.0.values_mut().for_each(|entry| entry.quarantined = 1);
        ledger
    }

    /// What became of the legs.
    pub(super) fn legs(&mut self, legs: &[Candidate<'_>], calls: &Calls) {
        for candidate in legs {
            // A direct call's leg was told by the node of its first event.
            let Some(entry) = self.0.get_mut(&*candidate.node) else { continue };
            let stored = i64::from(calls.takes(&candidate.leg));
            entry.stored += stored;
            entry.duplicates += i64::try_from(candidate.copies).unwrap_or(i64::MAX) - stored;
        }
    }

    pub(super) async fn write(&self, tx: &mut Transaction) -> Result<()> {
        let nodes: Vec<&str> = self.0.keys().copied().collect();
        let column = |of: fn(&Entry) -> i64| self.0.values().map(of).collect::<Vec<i64>>();
        let hours: Vec<Timestamp> = self.0.values().map(|entry| entry.hour).collect();
        let (legs, events) = (column(|entry| entry.legs), column(|entry| entry.events));
        let (stored, duplicates) = (column(|entry| entry.stored), column(|entry| entry.duplicates));
        let quarantined = column(|entry| entry.quarantined);
        tx.execute(NOTE, &[&nodes, &hours, &legs, &events, &stored, &duplicates, &quarantined])
            .await
            .map(drop)
    }
}

fn hour_of(time: Timestamp) -> Timestamp {
    let floor = jiff::TimestampRound::new().smallest(Unit::Hour).mode(jiff::RoundMode::Floor);
    time.round(floor).unwrap_or(time)
}

pub(crate) const NOTE: &str =
    "INSERT INTO voip.cdr_ledger (node, hour, legs, events, stored, duplicates, quarantined)
    SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::int8[], $4::int8[], $5::int8[], $6::int8[], $7::int8[])";
