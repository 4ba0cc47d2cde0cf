//! `place` against a stand-in for the store and an oracle that sees everything at once.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::call::Story;
use crate::{Direction, LegDirection, LegSource};

fn leg(uuid: &str, parent: Option<&str>, start_second: i64) -> Leg {
    Leg {
        leg_uuid: uuid.to_owned(),
        parent_uuid: parent.map(str::to_owned),
        bleg_uuid: None,
        source: LegSource::Freeswitch,
        provisional: false,
        vp_call: None,
        domain: None,
        direction: Direction::Internal,
        leg_direction: LegDirection::Inbound,
        caller_id_number: None,
        caller_id_name: None,
        destination_number: None,
        context: None,
        start_time: Timestamp::from_second(start_second).unwrap(),
        answer_time: None,
        end_time: None,
        duration: 0,
        billsec: 0,
        hangup_cause: None,
        hangup_cause_q850: None,
        queue: None,
        agent: None,
        trunk: None,
        sip_call_id: None,
        core_uuid: None,
        session_id: None,
        recorded: false,
        recording: None,
        story: Story::default(),
    }
}

fn provisional(uuid: &str, start_second: i64) -> Leg {
    Leg { provisional: true, ..leg(uuid, None, start_second) }
}

/// Call and head of every leg.
type Placement = BTreeMap<String, (String, bool)>;

/// The rows a store would have, by their key.
#[derive(Default)]
struct Rows(BTreeMap<(String, Timestamp), Known>);

impl Rows {
    /// Reads exactly what [`Known`] says is needed, places, and writes as the store does.
    fn commit(&mut self, batch: &[Leg]) {
        let own: BTreeSet<&str> = batch.iter().map(|leg| leg.leg_uuid.as_str()).collect();
        let consults: BTreeSet<&str> =
            batch.iter().filter_map(|leg| leg.story.consult_uuid.as_deref()).collect();
        let parents = batch.iter().filter_map(|leg| leg.parent_uuid.as_deref());
        let others: BTreeSet<&str> = parents.chain(consults.iter().copied()).collect();
        let joins = |row: &Known| row.consult_uuid.as_deref().is_some_and(|uuid| own.contains(uuid));
        let named = |row: &Known| {
            own.contains(row.leg_uuid.as_str()) || others.contains(row.leg_uuid.as_str()) || joins(row)
        };
        let calls: BTreeSet<&str> =
            self.0.values().filter(|row| named(row)).map(|row| row.call_uuid.as_str()).collect();
        let known: Vec<Known> = self
            .0
            .values()
            .filter(|row| {
                let call = row.call_uuid.as_str();
                named(row)
                    || own.contains(call)
                    || consults.contains(call)
                    || (row.head && (others.contains(call) || calls.contains(call)))
            })
            .cloned()
            .collect();
        let (placed, rekeys) = place(batch, &known);
        assert!(placed.iter().map(|it| it.index).eq(0..batch.len()));
        for rekey in rekeys {
            let row = self.0.get_mut(&(rekey.leg_uuid, rekey.start_time)).expect("a re-keyed row is stored");
            (row.call_uuid, row.head, row.parent_uuid) = (rekey.call_uuid, rekey.head, rekey.parent_uuid);
        }
        for (leg, place) in batch.iter().zip(placed) {
            let row = Known {
                leg_uuid: leg.leg_uuid.clone(),
                parent_uuid: place.parent_uuid,
                consult_uuid: leg.story.consult_uuid.clone(),
                call_uuid: place.call_uuid,
                head: place.head,
                provisional: leg.provisional,
                start_time: leg.start_time,
            };
            let stored = self.0.entry((leg.leg_uuid.clone(), leg.start_time)).or_insert_with(|| row.clone());
            if stored.provisional && !row.provisional {
                *stored = row;
            }
        }
    }

    /// Call and head of every row.
    fn placement(&self) -> Placement {
        self.0.values().map(|row| (row.leg_uuid.clone(), (row.call_uuid.clone(), row.head))).collect()
    }

    /// What the placement should be, from all rows at once.
    fn oracle(&self) -> Placement {
        let joined: BTreeMap<&str, &str> = self
            .0
            .values()
            .filter_map(|row| Some((row.consult_uuid.as_deref()?, row.leg_uuid.as_str())))
            .collect();
        let parents: BTreeMap<&str, Option<&str>> = self
            .0
            .values()
            .map(|row| {
                let leg = row.leg_uuid.as_str();
                (leg, row.parent_uuid.as_deref().or_else(|| joined.get(leg).copied()))
            })
            .collect();
        let call_of = |leg: &str| {
            let mut path: Vec<&str> = vec![leg];
            loop {
                match parents.get(path[path.len() - 1]).copied().flatten() {
                    None => return path[path.len() - 1].to_owned(),
                    Some(parent) => match path.iter().position(|seen| *seen == parent) {
                        Some(ring) => return (*path[ring..].iter().min().unwrap()).to_owned(),
                        None => path.push(parent),
                    },
                }
            }
        };
        let mut heads: BTreeMap<String, (bool, Timestamp, &str)> = BTreeMap::new();
        for row in self.0.values() {
            let call = call_of(&row.leg_uuid);
            let rank = (row.leg_uuid != call, row.start_time, row.leg_uuid.as_str());
            let best = heads.entry(call).or_insert(rank);
            *best = (*best).min(rank);
        }
        let place = |row: &Known| {
            let call = call_of(&row.leg_uuid);
            let head = heads[&call].2 == row.leg_uuid;
            (row.leg_uuid.clone(), (call, head))
        };
        self.0.values().map(place).collect()
    }
}

fn placement<const N: usize>(rows: [(&str, &str, bool); N]) -> Placement {
    rows.into_iter().map(|(leg, call, head)| (leg.to_owned(), (call.to_owned(), head))).collect()
}

#[test]
fn a_root_that_arrives_late_takes_its_legs_in() {
    let mut rows = Rows::default();
    rows.commit(&[leg("b2", Some("a"), 12), leg("b1", Some("a"), 11)]);
    assert_eq!(rows.placement(), placement([("b1", "a", true), ("b2", "a", false)]));
    rows.commit(&[leg("a", None, 10)]);
    assert_eq!(rows.placement(), placement([("a", "a", true), ("b1", "a", false), ("b2", "a", false)]));
}

#[test]
fn an_earlier_sibling_takes_the_head_over_while_the_root_is_missing() {
    let mut rows = Rows::default();
    rows.commit(&[leg("b2", Some("a"), 12)]);
    rows.commit(&[leg("b1", Some("a"), 11)]);
    assert_eq!(rows.placement(), placement([("b1", "a", true), ("b2", "a", false)]));
}

#[test]
fn a_chain_is_one_call_in_whatever_order_it_comes() {
    let chain = [leg("a", None, 1), leg("b", Some("a"), 1), leg("c", Some("b"), 1)];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut rows = Rows::default();
        for index in order {
            rows.commit(&chain[index..=index]);
        }
        let expected = placement([("a", "a", true), ("b", "a", false), ("c", "a", false)]);
        assert_eq!(rows.placement(), expected, "{order:?}");
    }
}

#[test]
fn a_provisional_row_gives_way_to_the_parent_the_final_one_names() {
    let mut rows = Rows::default();
    rows.commit(&[provisional("b", 2), leg("c", Some("b"), 3)]);
    assert_eq!(rows.placement(), placement([("b", "b", true), ("c", "b", false)]));
    rows.commit(&[leg("b", Some("a"), 2)]);
    assert_eq!(rows.placement(), placement([("b", "a", true), ("c", "a", false)]));
    rows.commit(&[provisional("b", 2)]);
    assert_eq!(rows.placement(), placement([("b", "a", true), ("c", "a", false)]));
}

#[test]
fn a_leg_that_is_its_own_ancestor_is_a_call_all_the_same() {
    let mut rows = Rows::default();
    rows.commit(&[leg("x", Some("x"), 1)]);
    rows.commit(&[leg("c", Some("a"), 1)]);
    rows.commit(&[leg("a", Some("b"), 1)]);
    rows.commit(&[leg("b", Some("c"), 1)]);
    let expected = placement([("a", "a", true), ("b", "a", false), ("c", "a", false), ("x", "x", true)]);
    assert_eq!(rows.placement(), expected);
}

/// An attended transfer: `a` names the consultation's root, which is a call of its own as far as it knows.
#[test]
fn a_consultation_is_joined_in_whatever_order_it_comes() {
    let mut a = leg("a", None, 1);
    a.story.consult_uuid = Some("c".to_owned());
    let legs = [a, leg("b", Some("a"), 1), leg("c", None, 5), leg("d", Some("c"), 5)];
    let expected = placement([("a", "a", true), ("b", "a", false), ("c", "a", false), ("d", "a", false)]);
    let mut orders: Vec<Vec<usize>> = vec![vec![]];
    for index in 0..legs.len() {
        let longer = |order: &Vec<usize>| {
            (0..=order.len())
                .map(|at| {
                    let mut order = order.clone();
                    order.insert(at, index);
                    order
                })
                .collect::<Vec<_>>()
        };
        orders = orders.iter().flat_map(longer).collect();
    }
    assert_eq!(orders.len(), 24);
    for order in orders {
        let mut rows = Rows::default();
        for index in &order {
            rows.commit(&legs[*index..=*index]);
            rows.commit(&legs[*index..=*index]);
        }
        assert_eq!(rows.placement(), expected, "{order:?}");
    }
}

#[test]
fn an_empty_batch_changes_nothing() {
    assert_eq!(place(&[] as &[Leg], &[]), (Vec::new(), Vec::new()));
}

/// Legs of up to a dozen sessions: roots, children of any of them (rings too), and children of sessions that never arrive;
/// some join another root, which may never arrive; some also as a provisional row that knows no parent; each perhaps twice; in any order; cut anywhere.
fn arrivals() -> impl Strategy<Value = Vec<Vec<Leg>>> {
    let session =
        (prop::option::of(0usize..16), 0i64..4, any::<bool>(), any::<bool>(), prop::option::of(0usize..16));
    let cuts = prop::collection::vec(1usize..6, 40);
    (prop::collection::vec(session, 1..12), cuts)
        .prop_flat_map(|(sessions, cuts)| {
            let mut legs = Vec::new();
            let mut joined = BTreeSet::new();
            let is_root: Vec<bool> = sessions.iter().map(|session| session.0.is_none()).collect();
            for (index, (parent, start, twice, early, consult)) in sessions.into_iter().enumerate() {
                let uuid = format!("u{index:02}");
                let mut final_leg = leg(&uuid, parent.map(|it| format!("u{it:02}")).as_deref(), start);
                // A consultation is a root, and one leg at most names it.
                let may = |it: &usize| *it != index && is_root.get(*it).copied().unwrap_or(true);
                let consult = consult.filter(may).filter(|it| joined.insert(*it));
                final_leg.story.consult_uuid = consult.map(|it| format!("u{it:02}"));
                legs.extend(early.then(|| provisional(&uuid, start)));
                legs.extend(twice.then(|| final_leg.clone()));
                legs.push(final_leg);
            }
            (Just(legs).prop_shuffle(), Just(cuts))
        })
        .prop_map(|(mut legs, cuts)| {
            let mut batches = Vec::new();
            for cut in cuts {
                let rest = legs.split_off(cut.min(legs.len()));
                batches.push(std::mem::replace(&mut legs, rest));
            }
            batches.retain(|batch| !batch.is_empty());
            batches
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn order_and_batches_do_not_matter(batches in arrivals()) {
        let mut rows = Rows::default();
        for batch in &batches {
            rows.commit(batch);
            prop_assert_eq!(rows.placement(), rows.oracle());
            let calls: BTreeSet<&str> = rows.0.values().map(|row| row.call_uuid.as_str()).collect();
            for call in calls {
                let heads = rows.0.values().filter(|row| row.call_uuid == call && row.head).count();
                prop_assert_eq!(heads, 1, "heads of {}", call);
            }
        }
    }
}
