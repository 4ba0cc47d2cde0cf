//! The merged evidence of one dialog.

use jiff::Timestamp;

use super::{SipEvent, SipEventKind, cause};
use crate::call::{Event, EventKind, HangupBy, Stop, Story, seconds_between};
use crate::{Direction, Leg, LegDirection, LegSource};

/// All that is known of the dialog (`call_id`, `from_tag`).
///
/// Merging is commutative, associative and idempotent: events arrive in any order, from two nodes, twice, and the result is
/// the same. So of two answers the earlier counts, and of two different texts the smaller.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Dialog {
    /// The dialog's `Call-ID`.
    pub call_id: String,
    /// The tag the caller chose.
    pub from_tag: String,
    /// The tag the answering side chose.
    pub to_tag: Option<String>,
    /// The leg uuid of a direct call.
    pub vp_call: Option<String>,
    /// The tenant's SIP domain, lower case.
    pub domain: Option<String>,
    /// The caller's number.
    pub caller: Option<String>,
    /// The display name the caller chose.
    pub caller_name: Option<String>,
    /// What was dialled.
    pub callee: Option<String>,
    /// The call's direction.
    pub direction: Option<Direction>,
    /// The call went by way of FreeSWITCH, which accounts for it.
    pub media: Option<bool>,
    /// When the initial INVITE came.
    pub start: Option<Timestamp>,
    /// When it was answered.
    pub answered: Option<Timestamp>,
    /// When the BYE came.
    pub ended: Option<Timestamp>,
    /// Who sent the BYE.
    #[serde(default)]
    pub ended_by: Option<HangupBy>,
    /// When the initial INVITE failed, with the reply's code (0 where it was not told).
    pub failed: Option<(Timestamp, u16)>,
}

impl Dialog {
    /// What this one event tells.
    ///
    /// Of an `ended` only the time counts, and which side it came from, which the dialog's tags prove. What else it says came
    /// back to Kamailio in the phone's own BYE, where a phone may have changed it; and a start that differs by a rounding would be another row's key.
    pub fn of(event: &SipEvent) -> Self {
        let at = |kind| (event.kind == kind).then_some(event.time);
        let ended = at(SipEventKind::Ended);
        let text = |text: &Option<String>| text.clone().filter(|_| ended.is_none());
        Self {
            call_id: event.call_id.clone(),
            from_tag: event.from_tag.clone(),
            to_tag: text(&event.to_tag),
            vp_call: text(&event.vp_call),
            domain: text(&event.domain),
            caller: text(&event.caller),
            caller_name: text(&event.caller_name),
            callee: text(&event.callee),
            direction: event.direction.filter(|_| ended.is_none()),
            media: event.media.filter(|_| ended.is_none()),
            start: event.start.filter(|_| ended.is_none()),
            answered: at(SipEventKind::Answered),
            ended,
            ended_by: event.by.filter(|_| ended.is_some()),
            failed: at(SipEventKind::Failed).map(|time| (time, event.sip_code.unwrap_or(0))),
        }
    }

    /// Takes in what the other knows of the same dialog.
    pub fn merge(&mut self, other: &Self) {
        fn least<T: Ord + Clone>(mine: &mut Option<T>, other: &Option<T>) {
            if let Some(theirs) = other
                && mine.as_ref().is_none_or(|mine| theirs < mine)
            {
                *mine = Some(theirs.clone());
            }
        }
        debug_assert_eq!((&self.call_id, &self.from_tag), (&other.call_id, &other.from_tag));
        least(&mut self.to_tag, &other.to_tag);
        least(&mut self.vp_call, &other.vp_call);
        least(&mut self.domain, &other.domain);
        least(&mut self.caller, &other.caller);
        least(&mut self.caller_name, &other.caller_name);
        least(&mut self.callee, &other.callee);
        self.direction = [self.direction, other.direction].into_iter().flatten().min_by_key(|d| d.as_str());
        // One event that says FreeSWITCH carried the call outweighs one that does not: it must not be billed twice.
        self.media = self.media.max(other.media);
        least(&mut self.start, &other.start);
        least(&mut self.answered, &other.answered);
        // The side belongs to the BYE that counts.
        match (self.ended, other.ended) {
            (Some(mine), Some(theirs)) if mine < theirs => {}
            (Some(mine), Some(theirs)) if mine == theirs => {
                self.ended_by =
                    [self.ended_by, other.ended_by].into_iter().flatten().min_by_key(|by| by.as_str());
            }
            (_, Some(_)) => (self.ended, self.ended_by) = (other.ended, other.ended_by),
            (_, None) => {}
        }
        least(&mut self.failed, &other.failed);
    }

    /// The row of a direct call: provisional while it goes on, final when it failed or was answered and ended.
    ///
    /// `None` for a call that FreeSWITCH carried and accounts for, for one that it may have carried, and until an answer or a
    /// failure told what the call is: a BYE that overtakes its answer makes no row. Seconds are whole ones that passed
    /// ([`seconds_between`]), 0 while it goes on.
    pub fn to_leg(&self) -> Option<Leg> {
        if self.media != Some(false) {
            return None;
        }
        let (leg_uuid, start_time) = (self.vp_call.clone()?, self.start?);
        let failed = self.failed.filter(|_| self.answered.is_none());
        let end_time = failed.map(|(time, _)| time).or(self.ended);
        let cause = match failed {
            Some((_, code)) => Some(cause::of_sip_code(code)),
            None => end_time.map(|_| cause::NORMAL_CLEARING),
        };
        let seconds =
            |from: Option<Timestamp>| from.zip(end_time).map_or(0, |(from, to)| seconds_between(from, to));
        let hung_up_by = match failed {
            Some((_, code)) => cause::refused_by(code),
            None => self.ended_by,
        };
        Some(Leg {
            leg_uuid,
            parent_uuid: None,
            bleg_uuid: None,
            source: LegSource::Kamailio,
            provisional: end_time.is_none(),
            vp_call: self.vp_call.clone(),
            domain: self.domain.clone(),
            direction: self.direction.unwrap_or(Direction::Internal),
            leg_direction: LegDirection::Inbound,
            caller_id_number: self.caller.clone(),
            caller_id_name: self.caller_name.clone(),
            destination_number: self.callee.clone(),
            context: None,
            start_time,
            answer_time: self.answered,
            end_time,
            duration: seconds(Some(start_time)),
            billsec: seconds(self.answered),
            hangup_cause: cause.map(|(name, _)| name.to_owned()),
            hangup_cause_q850: cause.map(|(_, q850)| q850),
            queue: None,
            agent: None,
            trunk: None,
            sip_call_id: Some(self.call_id.clone()),
            core_uuid: None,
            session_id: None,
            recorded: false,
            recording: None,
            story: self.story(end_time, cause.map(|(name, _)| name), hung_up_by),
        })
    }

    /// The call is one leg that stands for both sides.
    fn story(&self, end: Option<Timestamp>, cause: Option<&str>, by: Option<HangupBy>) -> Story {
        let (caller, callee) = (self.caller.as_deref(), self.callee.as_deref());
        let by_whom = match by {
            Some(HangupBy::Caller) => caller,
            Some(HangupBy::Callee) => callee,
            Some(HangupBy::System) | None => None,
        };
        let event = |time, kind, who, detail| Event::new(time, kind, who, detail);
        let answered = self.answered.map(|at| event(at, EventKind::Answered, callee, None));
        let dialled = self.start.map(|at| event(at, EventKind::Dialled, caller, callee));
        let hung_up = end.map(|at| event(at, EventKind::HungUp, by_whom, cause));
        Story {
            bridged: self.answered,
            stop: Some(Stop::Dial),
            ended_by: by,
            events: [dialled, answered, hung_up].into_iter().flatten().collect(),
            ..Story::default()
        }
    }
}
