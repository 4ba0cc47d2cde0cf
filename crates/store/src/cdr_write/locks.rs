//! Who may change a call. Every leg's uuid, every parent's and every call's found is an advisory lock, held to the end
//! of the transaction: two workers with legs of one call follow each other, and each sees what the other stored.
//!
//! Locks known beforehand are taken in one order, so those never deadlock. Locks that turn out to be needed while others
//! are held are only tried; where one is taken, the transaction ends and begins again with all of them in order.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::{Content, Item};
use crate::Result;
use crate::transaction::Transaction;

#[derive(Default)]
pub(crate) struct Locks {
    keys: BTreeSet<i64>,
}

impl Locks {
    /// What the items themselves name.
    pub(crate) fn of_items(items: &[Item]) -> Self {
        let mut locks = Self::default();
        for item in items {
            match &item.content {
                Content::Leg(leg) => {
                    locks.keys.insert(call(&leg.leg_uuid));
                    let others = [&leg.parent_uuid, &leg.story.consult_uuid];
                    locks.keys.extend(others.into_iter().flatten().map(|uuid| call(uuid)));
                }
                Content::Sip(event) => {
                    locks.keys.insert(dialog(&event.call_id));
                    locks.keys.extend(event.vp_call.as_deref().map(call));
                }
                Content::Poison { .. } => {}
            }
        }
        locks
    }

    /// Those of these legs and calls.
    pub(super) fn of_calls<'a>(uuids: impl Iterator<Item = &'a str>) -> Self {
        Self { keys: uuids.map(call).collect() }
    }

    /// Takes all of them, in order.
    pub(crate) async fn take(&self, tx: &mut Transaction) -> Result<()> {
        if self.keys.is_empty() {
            return Ok(());
        }
        let keys: Vec<i64> = self.keys.iter().copied().collect();
        tx.query(TAKE, &[&keys]).await.map(drop)
    }

    /// Adds the locks of these calls. `true` when all are held now, and what was read before the call must be read
    /// again if any was added; `None` where nothing was added.
    pub(super) async fn add<'a>(
        &mut self,
        tx: &mut Transaction,
        calls: impl Iterator<Item = &'a str>,
    ) -> Result<Added> {
        let missing: Vec<i64> = calls.map(call).filter(|key| !self.keys.contains(key)).collect();
        if missing.is_empty() {
            return Ok(Added::Nothing);
        }
        self.keys.extend(&missing);
        let row = tx.query_opt(TRY, &[&missing]).await?;
        let all: Option<bool> = row.map_or(Ok(None), |row| row.try_get(0))?;
        Ok(if all == Some(true) { Added::Held } else { Added::Refused })
    }
}

/// What became of additional locks.
pub(super) enum Added {
    /// None was missing.
    Nothing,
    /// They are held: look again at what they protect.
    Held,
    /// Another worker holds one: begin again.
    Refused,
}

fn call(uuid: &str) -> i64 {
    key(b"call", uuid)
}

fn dialog(call_id: &str) -> i64 {
    key(b"dialog", call_id)
}

/// The same on every node and in every version. Two names that collide merely wait for each other.
fn key(kind: &[u8], name: &str) -> i64 {
    let digest = Sha256::new().chain_update(kind).chain_update([0]).chain_update(name).finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(first)
}

// The keys are sorted by the caller; unnest keeps their order.
pub(crate) const TAKE: &str = "SELECT pg_advisory_xact_lock(k) FROM unnest($1::bigint[]) AS k";
pub(crate) const TRY: &str = "SELECT bool_and(pg_try_advisory_xact_lock(k)) FROM unnest($1::bigint[]) AS k";
