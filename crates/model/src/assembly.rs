//! Which call a leg belongs to.
//!
//! A call is a tree of legs, named by its root leg's uuid. Legs arrive in any order, so a leg whose parent has not come yet is
//! filed under the highest ancestor *heard of*; when that one arrives, the rows waiting for it are re-keyed.
//! Exactly one row of each call is its `head`, the row that stands for the call in lists: the root if it is there, else the
//! earliest (`start_time`, `leg_uuid`).
//!
//! Architecture invariant: what is stored after any sequence of batches depends on the set of legs alone, never on their order
//! or how they were cut into batches.

use jiff::Timestamp;

use crate::Leg;

/// A stored row that touches the batch. Needed are all rows of these kinds (more do no harm):
///
/// 1. whose `leg_uuid` is that of a leg of the batch, or of a parent of one;
/// 2. whose `call_uuid` is the uuid of a leg of the batch (they were waiting for it);
/// 3. the heads of the calls named by a parent, or by a row of kind 1.
///
/// The reading of them and the writing of what [`place`] answers must not interleave with another's for the same calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The row's leg.
    pub leg_uuid: String,
    /// The leg's parent as stored.
    pub parent_uuid: Option<String>,
    /// The call it is filed under.
    pub call_uuid: String,
    /// It stands for its call.
    pub head: bool,
    /// The row may still be replaced.
    pub provisional: bool,
    /// With `leg_uuid` the row's key.
    pub start_time: Timestamp,
}

/// Where a leg of the batch goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Its index in the batch.
    pub index: usize,
    /// The call it belongs to.
    pub call_uuid: String,
    /// It stands for its call. Copies of one row within a batch are placed alike.
    pub head: bool,
}

/// A stored row whose call or head changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rekey {
    /// The row's leg.
    pub leg_uuid: String,
    /// With `leg_uuid` the row's key.
    pub start_time: Timestamp,
    /// The call it belongs to from now on.
    pub call_uuid: String,
    /// Whether it stands for that call from now on.
    pub head: bool,
}

/// Places every leg of the batch, and says which stored rows change by it.
pub fn place(batch: &[Leg], known: &[Known]) -> (Vec<Placed>, Vec<Rekey>) {
    let _ = known;
    let placed = batch
        .iter()
        .enumerate()
        .map(|(index, leg)| Placed {
            index,
            call_uuid: leg.parent_uuid.clone().unwrap_or_else(|| leg.leg_uuid.clone()),
            head: leg.parent_uuid.is_none(),
        })
        .collect();
    (placed, Vec::new())
}
