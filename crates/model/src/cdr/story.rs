//! What a CDR document says of what happened on its leg.

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};

use super::document::Application;
use super::interpret::{Reading, timestamp};
use crate::call::{EVENTS_PER_LEG_MAX, Event, EventKind, HangupBy, Status, Stop, Story};
use crate::{Leg, LegDirection, tidy};

/// The applications that say something; a dialplan runs dozens of `set` and `export` for one of these.
pub(super) const APPLICATIONS: [&str; 15] = [
    "ivr",
    "callcenter",
    "bridge",
    "voicemail",
    "conference",
    "record_session",
    "record",
    "echo",
    "delay_echo",
    "playback",
    "endless_playback",
    "park",
    "rxfax",
    "txfax",
    "directory",
];

const SECOND: SignedDuration = SignedDuration::from_secs(1);
/// Around a second of mod_callcenter, which takes it a moment after the thing itself, by a clock that ticks every 20 ms.
const AROUND_SECOND_MS: std::ops::Range<i128> = -1_000..1_100;

/// Holds told of one leg.
const HOLDS_MAX: usize = 8;

impl Reading<'_> {
    pub(super) fn story(&self, leg: &Leg) -> Story {
        let var = &self.document.variables;
        let epoch =
            |variable| self.integer(variable).and_then(|it| tidy::timestamp(it.checked_mul(1_000_000)?));
        let runs = self.applications();
        let last = runs.iter().filter_map(Run::stop).next_back();
        let dialled = self.text(&var.originate_disposition);
        let member = self.value(&var.cc_side).map_or(leg.agent.is_some(), |side| side != "agent");
        let mut story = Story {
            queue_joined: epoch(&var.cc_queue_joined_epoch).map(|second| joined(second, leg, member, &runs)),
            queue_answered: epoch(&var.cc_queue_answered_epoch)
                .map(|second| exact(second, self.bridges()).unwrap_or(second)),
            queue_left: epoch(&var.cc_queue_canceled_epoch).map(|second| left(second, leg, &runs)),
            member,
            bridged: self.bridges().min(),
            stop: last,
            dial_cause: dialled.filter(|cause| last == Some(Stop::Dial) && cause != "SUCCESS"),
            ended_by: self.far_end().then_some(match leg.leg_direction {
                LegDirection::Inbound => HangupBy::Caller,
                LegDirection::Outbound => HangupBy::Callee,
            }),
            loopback: self.id(&var.loopback_leg).is_some(),
            consult_uuid: self.consult(leg),
            events: Vec::new(),
        };
        story.events = self.events(leg, &story, &runs);
        story
    }

    /// Who is at the leg's far end ended it: a BYE, a CANCEL or a refusal was received.
    fn far_end(&self) -> bool {
        self.value(&self.document.variables.sip_hangup_disposition).is_some_and(|it| it.starts_with("recv_"))
    }

    /// When the leg was connected, in each of its profiles.
    fn bridges(&self) -> impl Iterator<Item = Timestamp> {
        let of_profiles =
            self.document.callflow.0.iter().filter_map(|it| timestamp(it.times.bridged.as_deref()?));
        let variable = self.value(&self.document.variables.bridge_uepoch).and_then(|it| timestamp(&it));
        of_profiles.chain(variable)
    }

    /// An attended transfer names the leg of the consultation, a call that does not know of this one.
    fn consult(&self, leg: &Leg) -> Option<String> {
        let var = &self.document.variables;
        let attended = self.value(&var.transfer_to).is_some_and(|it| it.starts_with("att:"));
        self.id(&var.refer_uuid).filter(|uuid| attended && *uuid != leg.leg_uuid)
    }

    /// What the dialplan did that says something; of documents without a log, the last that it did.
    fn applications(&self) -> Vec<Run<'_>> {
        let var = &self.document.variables;
        let log = &self.document.app_log.applications.0;
        let last = || {
            let name = self.value(&var.current_application)?;
            let data = self.value(&var.current_application_data).unwrap_or_default();
            APPLICATIONS.contains(&&*name).then_some(Run { name, data, time: None })
        };
        if log.is_empty() { last().into_iter().collect() } else { log.iter().filter_map(Run::of).collect() }
    }

    fn events(&self, leg: &Leg, story: &Story, runs: &[Run<'_>]) -> Vec<Event> {
        let caller = leg.leg_direction == LegDirection::Inbound;
        let (number, dialled) = (leg.caller_id_number.as_deref(), leg.destination_number.as_deref());
        let agent = leg.agent.as_deref().filter(|_| !story.member);
        let party = if caller { number } else { agent.or(dialled) };
        let mut events = Vec::new();
        if !story.loopback {
            let kind = if caller { EventKind::Dialled } else { EventKind::Offered };
            events.push(Event::new(leg.start_time, kind, party, dialled.filter(|_| caller)));
        }
        events.extend(runs.iter().filter_map(|run| run.event(leg)));
        let told = events.iter().any(|event| event.kind == EventKind::Recorded);
        if leg.recorded && !told && story.stop != Some(Stop::Voicemail) {
            let since = story.bridged.or(leg.answer_time).unwrap_or(leg.start_time);
            events.push(Event::new(since, EventKind::Recorded, None, None));
        }
        if !story.loopback {
            events.extend(own_answer(leg, story, caller, party));
            events.extend(self.others_answer(leg, story, caller));
            self.transfers(leg, party, &mut events);
            self.holds(party, &mut events);
            events.extend(end(leg, story, caller, party));
        }
        if let Some(end) = leg.end_time {
            // The end is told by a clock that ticks every 20 ms, what the dialplan ran by a finer one.
            events.iter_mut().for_each(|event| event.time = event.time.min(end));
        }
        events.sort_by_key(|event| (event.time, event.kind));
        if let Some(first_dropped) = events.len().checked_sub(EVENTS_PER_LEG_MAX) {
            // The end is what people look for.
            events.drain(EVENTS_PER_LEG_MAX - 1..EVENTS_PER_LEG_MAX - 1 + first_dropped);
        }
        events
    }

    /// Whoever a caller was connected to. A phone that was rung and then sent to a queue is a caller there.
    fn others_answer(&self, leg: &Leg, story: &Story, caller: bool) -> Option<Event> {
        let agent = leg.agent.clone();
        let (who, at) = if caller {
            (agent.or_else(|| self.text(&self.document.variables.dialed_user)), story.bridged)
        } else {
            (agent, self.bridges().max().filter(|_| story.member && leg.agent.is_some()))
        };
        Some(Event::new(at?, EventKind::Answered, who.as_deref(), None).with(leg.bleg_uuid.clone()))
    }

    /// A leg that was sent on has a new profile with another number; a leg that sent the other on says so.
    fn transfers(&self, leg: &Leg, party: Option<&str>, events: &mut Vec<Event>) {
        let var = &self.document.variables;
        for pair in self.document.profiles().windows(2) {
            let number = |at: usize| pair[at].caller.destination_number.as_deref();
            let (Some(to), Some(time)) =
                (number(1), pair[0].times.transferred.as_deref().and_then(timestamp))
            else {
                continue;
            };
            if number(0) != Some(to) {
                events.push(Event::new(time, EventKind::Transferred, None, Some(&format!("to {to}"))));
            }
        }
        let (Some(by), Some(time)) = (self.value(&var.transfer_to), leg.end_time) else { return };
        let event = |detail: &str| Event::new(time, EventKind::Transferred, party, Some(detail));
        if let Some(other) = by.strip_prefix("att:") {
            events.push(event("attended").with(tidy::id(other)));
        } else if by.starts_with("blind:") {
            let to = self.value(&var.transfer_destination);
            let to = to.as_deref().and_then(|it| it.strip_prefix("blind:")).unwrap_or_default();
            events.push(event(format!("blind to {to}").trim_end_matches(" to ")));
        }
    }

    /// `{{on,off},{on,off}}` in microseconds since the epoch, the newest first.
    fn holds(&self, party: Option<&str>, events: &mut Vec<Event>) {
        let Some(holds) = self.value(&self.document.variables.hold_events) else { return };
        let times: Vec<Timestamp> =
            holds.split(|c: char| !c.is_ascii_digit()).filter_map(timestamp).take(2 * HOLDS_MAX).collect();
        for pair in times.chunks_exact(2) {
            let seconds = pair[1].as_second().saturating_sub(pair[0].as_second());
            events.push(Event::new(pair[0], EventKind::Held, party, Some(&format!("{seconds} s"))));
        }
    }
}

/// Two phones may answer in one instant: one is hung up again, connected to nobody.
fn lost_race(leg: &Leg, story: &Story) -> bool {
    let connected = story.bridged.is_some() || leg.bleg_uuid.is_some();
    !connected && Status::of_cause(leg.hangup_cause.as_deref()) == Status::Elsewhere
}

fn own_answer(leg: &Leg, story: &Story, caller: bool, party: Option<&str>) -> Option<Event> {
    let at = leg.answer_time.filter(|_| !caller && !lost_race(leg, story))?;
    Some(Event::new(at, EventKind::Answered, party, None))
}

/// How the leg ended. A phone that was rung in vain did not hang up.
fn end(leg: &Leg, story: &Story, caller: bool, party: Option<&str>) -> Option<Event> {
    let time = leg.end_time?;
    if !caller && (leg.answer_time.is_none() || lost_race(leg, story)) {
        let why = Status::of_cause(leg.hangup_cause.as_deref()).as_str();
        return Some(Event::new(time, EventKind::Unanswered, party, Some(why)));
    }
    let who = party.filter(|_| story.ended_by.is_some());
    Some(Event::new(time, EventKind::HungUp, who, leg.hangup_cause.as_deref()))
}

/// When the caller was in the queue. An agent is rung for a caller who is; otherwise nothing is counted that may not have been.
fn joined(second: Timestamp, leg: &Leg, member: bool, runs: &[Run<'_>]) -> Timestamp {
    let entered = runs.iter().filter(|run| run.stop() == Some(Stop::Queue)).filter_map(|run| run.time);
    exact(second, entered).unwrap_or_else(|| {
        let latest = second + SECOND;
        if member { latest } else { leg.start_time.clamp(second, latest) }
    })
}

/// When the caller left the queue: the dialplan took him to the next place, or he was gone.
fn left(second: Timestamp, leg: &Leg, runs: &[Run<'_>]) -> Timestamp {
    let since = runs.iter().rposition(|run| run.stop() == Some(Stop::Queue)).map_or(0, |at| at + 1);
    let next = runs[since..].iter().filter_map(|run| run.time).chain(leg.end_time);
    exact(second, next).unwrap_or(second)
}

/// mod_callcenter tells the second in which something was done: the time at which the document tells the same.
fn exact(second: Timestamp, mut times: impl Iterator<Item = Timestamp>) -> Option<Timestamp> {
    times.find(|at| AROUND_SECOND_MS.contains(&at.duration_since(second).as_millis()))
}

/// An application that was run.
struct Run<'a> {
    name: Cow<'a, str>,
    data: Cow<'a, str>,
    time: Option<Timestamp>,
}

impl<'a> Run<'a> {
    fn of(logged: &'a Application<'_>) -> Option<Self> {
        Some(Self {
            name: Cow::Borrowed(logged.name.as_deref()?),
            data: Cow::Borrowed(logged.data.as_deref().unwrap_or_default()),
            time: logged.stamp.as_deref().and_then(timestamp),
        })
    }

    /// Where it takes the caller to.
    fn stop(&self) -> Option<Stop> {
        match &*self.name {
            "ivr" => Some(Stop::Menu),
            "callcenter" => Some(Stop::Queue),
            "bridge" => Some(Stop::Dial),
            // `voicemail check …` and `voicemail auth …`: the mailbox's owner.
            "voicemail" if self.data.starts_with("check") || self.data.starts_with("auth") => {
                Some(Stop::Service)
            }
            "voicemail" => Some(Stop::Voicemail),
            "record_session" | "record" => None,
            _ => Some(Stop::Service),
        }
    }

    fn event(&self, leg: &Leg) -> Option<Event> {
        let name = tidy::split_at_domain(&self.data).0;
        let (kind, detail) = match (&*self.name, self.stop()) {
            ("conference", _) => (EventKind::Conference, Some(room(name, leg.domain.as_deref()))),
            // Where it lies is not for everyone to know.
            (_, None) => (EventKind::Recorded, None),
            (_, Some(Stop::Menu)) => (EventKind::Ivr, Some(name)),
            (_, Some(Stop::Queue)) => (EventKind::Queued, Some(name)),
            // `voicemail <profile> <domain> <mailbox>`.
            (_, Some(Stop::Voicemail)) => (EventKind::Voicemail, self.data.split_ascii_whitespace().nth(2)),
            (_, Some(Stop::Dial)) => return None,
            (service, Some(Stop::Service)) => (EventKind::Answered, Some(service)),
        };
        let time = self.time.or(leg.answer_time).unwrap_or(leg.start_time);
        Some(Event::new(time, kind, None, detail))
    }
}

/// Rooms are named `<room>-<domain>`: two tenants' rooms must not be one.
fn room<'a>(name: &'a str, domain: Option<&str>) -> &'a str {
    let plain = || name.strip_suffix(domain?)?.strip_suffix('-');
    plain().unwrap_or(name)
}
