//! Which call a leg belongs to.
//!
//! A call is a tree of legs, named by its root leg's uuid. Legs arrive in any order, so a leg whose parent has not come yet is
//! filed under the highest ancestor *heard of*; when that one arrives, the rows waiting for it are re-keyed.
//! Exactly one row of each call is its `head`, the row that stands for the call in lists: the root if it is there, else the
//! earliest (`start_time`, `leg_uuid`).
//!
//! Architecture invariant: what is stored after any sequence of batches depends on the set of legs alone, never on their order
//! or on how they were cut into batches.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;

use crate::Leg;

/// A stored row that touches the batch. Needed are all rows of these kinds (more do no harm):
///
/// 1. whose `leg_uuid` is that of a leg of the batch, or of a parent or consultation of one;
/// 2. whose `call_uuid` is the uuid of a leg of the batch, or of a consultation of one: they were waiting for it;
/// 3. whose `consult_uuid` is the uuid of a leg of the batch;
/// 4. the heads of the calls named by a parent or consultation, and of those that rows of kinds 1 and 3 are in.
///
/// Reading these, [`place`] and writing what it answers are one step: two such steps that touch the same call must not
/// overlap, or the call gets two heads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The row's leg.
    pub leg_uuid: String,
    /// The leg's parent as stored.
    pub parent_uuid: Option<String>,
    /// The leg of another call that an attended transfer joined to this leg's.
    pub consult_uuid: Option<String>,
    /// The call it is filed under.
    pub call_uuid: String,
    /// It stands for its call.
    pub head: bool,
    /// The row gives way to one that is not provisional.
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
    /// The leg that caused it, or to which an attended transfer joined it.
    pub parent_uuid: Option<String>,
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
    /// Its parent from now on: an attended transfer gives one to a leg that had none.
    pub parent_uuid: Option<String>,
}

/// Places every leg of the batch, and says which stored rows change by it.
///
/// A leg that is stored already keeps the parent it is stored with, unless that row is provisional and knew none. A root that
/// another leg names as its consultation (one does at most) becomes that leg's child. Legs whose parents form a ring, which
/// only nonsense does, are one call named by the smallest uuid of the ring.
pub fn place(batch: &[impl Borrow<Leg>], known: &[Known]) -> (Vec<Placed>, Vec<Rekey>) {
    let batch: Vec<&Leg> = batch.iter().map(Borrow::borrow).collect();
    let forest = Forest::new(&batch, known);
    let mut resolved = HashMap::new();
    let legs: Vec<&str> = batch.iter().map(|leg| forest.call_of(&leg.leg_uuid, &mut resolved)).collect();
    let rows: Vec<&str> = known.iter().map(|row| forest.call_of(&row.leg_uuid, &mut resolved)).collect();

    // Of each call the best row we see. A head that we do not see belongs to a call that does not change.
    let mut heads: HashMap<&str, Rank> = HashMap::new();
    let ranks =
        legs.iter().zip(&batch).map(|(call, leg)| (*call, Rank::new(call, &leg.leg_uuid, leg.start_time)));
    let known_ranks =
        rows.iter().zip(known).map(|(call, row)| (*call, Rank::new(call, &row.leg_uuid, row.start_time)));
    for (call, rank) in ranks.chain(known_ranks) {
        heads.entry(call).and_modify(|best| *best = (*best).min(rank)).or_insert(rank);
    }
    let is_head = |call: &str, uuid: &str, start| heads.get(call) == Some(&Rank::new(call, uuid, start));

    let placed = legs.iter().zip(&batch).enumerate().map(|(index, (call, leg))| Placed {
        index,
        call_uuid: (*call).to_owned(),
        head: is_head(call, &leg.leg_uuid, leg.start_time),
        parent_uuid: leg.parent_uuid.clone().or_else(|| forest.parent_of(&leg.leg_uuid)),
    });
    let rekeys = rows.iter().zip(known).filter_map(|(call, row)| {
        let head = is_head(call, &row.leg_uuid, row.start_time);
        let parent_uuid = row.parent_uuid.clone().or_else(|| forest.parent_of(&row.leg_uuid));
        let stays = row.call_uuid == *call && row.head == head && row.parent_uuid == parent_uuid;
        (!stays).then(|| Rekey {
            leg_uuid: row.leg_uuid.clone(),
            start_time: row.start_time,
            call_uuid: (*call).to_owned(),
            head,
            parent_uuid,
        })
    });
    (placed.collect(), rekeys.collect())
}

/// How well a row stands for its call: the least does. The root comes first, then the earliest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank<'a> {
    is_child: bool,
    start: Timestamp,
    leg_uuid: &'a str,
}

impl<'a> Rank<'a> {
    fn new(call: &str, leg_uuid: &'a str, start: Timestamp) -> Self {
        Self { is_child: leg_uuid != call, start, leg_uuid }
    }
}

/// What is known of a leg's ancestors.
#[derive(Debug, Clone, Copy)]
struct Node<'a> {
    parent: Option<&'a str>,
    /// The call the stored row is filed under.
    call: Option<&'a str>,
    provisional: bool,
    start: Timestamp,
}

struct Forest<'a> {
    nodes: BTreeMap<&'a str, Node<'a>>,
}

impl<'a> Forest<'a> {
    fn new(batch: &[&'a Leg], known: &'a [Known]) -> Self {
        let mut nodes: BTreeMap<&str, Node> = BTreeMap::new();
        for row in known {
            let parent = row.parent_uuid.as_deref();
            let call = Some(row.call_uuid.as_str());
            let node = Node { parent, call, provisional: row.provisional, start: row.start_time };
            nodes.entry(&row.leg_uuid).and_modify(|stored| *stored = stored.or_better(node)).or_insert(node);
        }
        let stored: HashSet<&str> = nodes.keys().copied().collect();
        for leg in batch {
            let parent = leg.parent_uuid.as_deref();
            let node = Node { parent, call: None, provisional: leg.provisional, start: leg.start_time };
            let slot = nodes.entry(&leg.leg_uuid).or_insert(node);
            if !stored.contains(leg.leg_uuid.as_str()) {
                *slot = slot.or_better(node);
            } else if slot.parent.is_none() && slot.provisional && !node.provisional {
                // Where it was filed says nothing any more.
                (slot.parent, slot.call) = (node.parent, None);
            }
        }
        let stored = known.iter().map(|row| (&row.leg_uuid, &row.consult_uuid));
        let arrived = batch.iter().map(|leg| (&leg.leg_uuid, &leg.story.consult_uuid));
        for (leg, consult) in stored.chain(arrived) {
            let joined = consult.as_deref().and_then(|consult| nodes.get_mut(consult));
            if let Some(root) = joined.filter(|node| node.parent.is_none()) {
                (root.parent, root.call) = (Some(leg.as_str()), None);
            }
        }
        Self { nodes }
    }

    fn parent_of(&self, leg: &str) -> Option<String> {
        self.nodes.get(leg)?.parent.map(str::to_owned)
    }

    /// The uuid that names the leg's call.
    fn call_of(&self, leg: &'a str, resolved: &mut HashMap<&'a str, &'a str>) -> &'a str {
        let mut path = vec![leg];
        let mut on_path = HashSet::from([leg]);
        let call = loop {
            let last = path[path.len() - 1];
            if let Some(call) = resolved.get(last) {
                break *call;
            }
            match self.above(last) {
                None => break last,
                Some(next) if on_path.insert(next) => path.push(next),
                // A ring: from where the path came upon itself to its end.
                Some(next) => {
                    let ring = path.iter().skip_while(|uuid| **uuid != next);
                    break ring.min().copied().unwrap_or(last);
                }
            }
        };
        resolved.extend(path.into_iter().map(|uuid| (uuid, call)));
        call
    }

    /// The next uuid on the way to the root: the parent where we see its row, else what the stored row is filed under, else
    /// the parent that nobody has seen yet.
    fn above(&self, leg: &str) -> Option<&'a str> {
        let node = self.nodes.get(leg)?;
        let parent = node.parent?;
        if self.nodes.contains_key(parent) {
            return Some(parent);
        }
        match node.call {
            Some(call) => (call != leg).then_some(call),
            None => Some(parent),
        }
    }
}

impl<'a> Node<'a> {
    /// Of two rows of one leg the one whose parent counts: a final one, then the earlier one.
    fn or_better(self, other: Node<'a>) -> Node<'a> {
        let key = |node: &Node<'a>| {
            (node.parent.is_none() && node.provisional, node.provisional, node.start, node.parent)
        };
        if key(&other) < key(&self) { other } else { self }
    }
}

#[cfg(test)]
mod tests;
