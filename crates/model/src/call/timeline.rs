//! One readable list of what happened in a call.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::summary::TOGETHER_MS;
use super::{Event, EventKind, HangupBy, Status};

/// Moments of one call: the first ones and the last.
pub const MOMENTS_PER_CALL_MAX: usize = 200;

/// A leg as the timeline needs it.
#[derive(Debug, Clone, Copy)]
pub struct TimelineLeg<'a> {
    /// The leg.
    pub leg_uuid: &'a str,
    /// What happened on it.
    pub events: &'a [Event],
}

impl<'a> TimelineLeg<'a> {
    /// Who is at its far end: who dialled on it, or was rung.
    fn party(&self) -> Option<&'a str> {
        let made = |event: &&Event| matches!(event.kind, EventKind::Dialled | EventKind::Offered);
        self.events.iter().find(made)?.who.as_deref()
    }
}

/// One line of a timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moment {
    /// When. UTC.
    pub time: Timestamp,
    /// What.
    pub event: EventKind,
    /// The number, agent or party that did it.
    pub who: Option<String>,
    /// The leg it happened on.
    pub leg_uuid: String,
    /// See [`EventKind`].
    pub detail: Option<String>,
}

/// The moments of a call's legs in time order. `hangup_by` is the call's.
pub fn timeline(legs: &[TimelineLeg<'_>], hangup_by: Option<HangupBy>) -> Vec<Moment> {
    let parties: BTreeMap<&str, Option<&str>> = legs.iter().map(|leg| (leg.leg_uuid, leg.party())).collect();
    let told = legs.iter().flat_map(|leg| leg.events.iter().map(move |event| (leg, event)));
    let mut moments: Vec<Moment> = told
        .filter(|(_, event)| {
            // The leg that answered tells it itself, where it is there.
            let other = event.peer.as_deref().is_some_and(|peer| parties.contains_key(peer));
            !(other && event.kind == EventKind::Answered)
        })
        .map(|(leg, event)| Moment {
            time: event.time,
            event: event.kind,
            who: event.who.clone(),
            leg_uuid: leg.leg_uuid.to_owned(),
            detail: detail(event, &parties),
        })
        .collect();
    tell_transfers_once(&mut moments);
    tell_end_once(&mut moments, hangup_by);
    moments.sort_by(|a, b| {
        (a.time, a.event, &a.leg_uuid, &a.detail).cmp(&(b.time, b.event, &b.leg_uuid, &b.detail))
    });
    if moments.len() > MOMENTS_PER_CALL_MAX {
        let last = moments.pop();
        moments.truncate(MOMENTS_PER_CALL_MAX - 1);
        moments.extend(last);
    }
    moments
}

/// An attended transfer names the leg it led to: its party is where.
fn detail(event: &Event, parties: &BTreeMap<&str, Option<&str>>) -> Option<String> {
    let to = event.peer.as_deref().and_then(|peer| parties.get(peer).copied().flatten());
    match (event.kind, &event.detail, to) {
        (EventKind::Transferred, Some(how), Some(to)) => Some(format!("{how} to {to}")),
        _ => event.detail.clone(),
    }
}

/// Both legs of a transfer tell of it: who sent the other on, and who was sent. The one that says who did it stays.
fn tell_transfers_once(moments: &mut Vec<Moment>) {
    let is_named = |it: &Moment| it.event == EventKind::Transferred && it.who.is_some();
    let named: Vec<Timestamp> = moments.iter().filter(|it| is_named(it)).map(|it| it.time).collect();
    moments.retain(|it| {
        it.event != EventKind::Transferred
            || it.who.is_some()
            || !named.iter().any(|at| together(*at, it.time))
    });
}

/// All legs that ended together ended by one hang-up. Of those that ended before, a party's hang-up is told, the platform's
/// is not: it only follows from a transfer or from the other side's.
fn tell_end_once(moments: &mut Vec<Moment>, hangup_by: Option<HangupBy>) {
    let mut ends: Vec<Moment> = moments.extract_if(.., |it| it.event == EventKind::HungUp).collect();
    // The last one first; of several at the end the one that says who.
    let Some(end) = ends.iter().map(|it| it.time).max() else { return };
    ends.sort_by_key(|it| (!together(it.time, end), it.who.is_none(), Reverse(it.time), it.leg_uuid.clone()));
    let mut told = ends.into_iter();
    let last = told.next();
    let earlier = told.filter(|it| it.who.is_some() && !together(it.time, end));
    let who =
        |is_told: fn(&&Moment) -> bool| moments.iter().filter(is_told).max_by_key(|it| it.time)?.who.clone();
    let by = match hangup_by {
        Some(HangupBy::Caller) => who(|it| it.event == EventKind::Dialled),
        Some(HangupBy::Callee) => who(|it| {
            let elsewhere = it.detail.as_deref() == Some(Status::Elsewhere.as_str());
            it.event == EventKind::Answered || it.event == EventKind::Unanswered && !elsewhere
        }),
        Some(HangupBy::System) | None => None,
    };
    let last = last.map(|it| Moment { time: end, who: it.who.clone().or(by), ..it });
    moments.extend(earlier.chain(last));
}

fn together(a: Timestamp, b: Timestamp) -> bool {
    a.duration_since(b).abs().as_millis() <= i128::from(TOGETHER_MS)
}
