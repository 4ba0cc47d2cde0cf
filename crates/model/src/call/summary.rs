//! How a call ended, and how long people waited and talked.

use jiff::Timestamp;

use super::{Facts, Stop};
use crate::{Direction, Leg, LegDirection};

/// Legs of one call that its summary looks at: the root, then those that were answered, then the earliest. A queue that rang fifty
/// phones for an hour has thousands that add nothing.
pub const LEGS_COUNTED_MAX: usize = 500;

/// The cause of a leg that nobody saw any more, in the manner of FreeSWITCH's names: its node died.
pub const NODE_FAILURE: &str = "NODE_FAILURE";

/// Legs that end within this of each other ended by one cause. Milliseconds.
pub(super) const TOGETHER_MS: i64 = 1_000;

/// How a call, or a leg, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// A person took it, or a service that was what the caller called (a conference room, an echo test).
    Answered,
    /// A mailbox took it.
    Voicemail,
    /// The caller hung up while he waited in a queue or a menu.
    Abandoned,
    /// Nobody took it: it rang until someone lost patience, or the queue did.
    Missed,
    /// The called side was busy.
    Busy,
    /// Refused: by the called person, or by a rule.
    Rejected,
    /// It could not be connected: no such number, an error, a network.
    Failed,
    /// Of a leg: another phone of the same call answered first. Of a call only where no other leg of it is known (yet).
    Elsewhere,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Answered,
        Self::Voicemail,
        Self::Abandoned,
        Self::Missed,
        Self::Busy,
        Self::Rejected,
        Self::Failed,
        Self::Elsewhere,
    ];

    /// The word as it stands in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Voicemail => "voicemail",
            Self::Abandoned => "abandoned",
            Self::Missed => "missed",
            Self::Busy => "busy",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Elsewhere => "elsewhere",
        }
    }

    /// The status of that exact (lower case) name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// Of a leg nobody answered, by FreeSWITCH's name of the cause.
    pub fn of_cause(cause: Option<&str>) -> Self {
        match cause {
            Some("USER_BUSY") => Self::Busy,
            Some("CALL_REJECTED") => Self::Rejected,
            Some("LOSE_RACE" | "PICKED_OFF") => Self::Elsewhere,
            Some(
                "NORMAL_CLEARING" | "NO_ANSWER" | "NO_USER_RESPONSE" | "ORIGINATOR_CANCEL"
                | "ALLOTTED_TIMEOUT" | "PROGRESS_TIMEOUT",
            ) => Self::Missed,
            _ => Self::Failed,
        }
    }
}

/// Who hung up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HangupBy {
    /// Who called.
    Caller,
    /// Who was called: a phone, an agent.
    Callee,
    /// The platform: a time-out, a rule, a node's death.
    System,
}

impl HangupBy {
    /// The word as it stands in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Callee => "callee",
            Self::System => "system",
        }
    }

    /// The one of that exact (lower case) name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Caller, Self::Callee, Self::System].into_iter().find(|by| by.as_str() == name)
    }
}

/// What a summary looks at of one leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallLeg {
    /// The leg.
    pub leg_uuid: String,
    /// The leg it was (last) bridged to.
    pub bleg_uuid: Option<String>,
    /// Which way it was set up.
    pub leg_direction: LegDirection,
    /// When it was made.
    pub start_time: Timestamp,
    /// When it was answered.
    pub answer_time: Option<Timestamp>,
    /// When it ended; `None` while it goes on.
    pub end_time: Option<Timestamp>,
    /// FreeSWITCH's name of the cause.
    pub hangup_cause: Option<String>,
    /// What it says itself.
    pub facts: Facts,
}

/// What is told of a call in the row that stands for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The root's, else the first that is not internal: only the leg to a trunk knows that a call goes out.
    pub direction: Direction,
    /// The root's queue, else the first leg's that was in one.
    pub queue: Option<String>,
    /// The agent who answered, the last of several.
    pub agent: Option<String>,
    /// `None` while it goes on and no person has answered.
    pub status: Option<Status>,
    /// Whole seconds ([`seconds_between`]) in the queue until an agent took the call or the caller left; without a queue, from
    /// the start until a person answered or the ringing ended. `None` where nobody was to answer.
    pub wait_seconds: Option<i32>,
    /// Seconds in which someone talked to the caller (or, after a transfer, to who took his place): the parts summed up to the
    /// microsecond, then cut to whole seconds. Of an answered call that has ended.
    pub talk_seconds: Option<i32>,
    /// `None` while it goes on.
    pub hangup_by: Option<HangupBy>,
}

impl CallLeg {
    /// Of a leg as it was read.
    pub fn of(leg: &Leg) -> Self {
        Self {
            leg_uuid: leg.leg_uuid.clone(),
            bleg_uuid: leg.bleg_uuid.clone(),
            leg_direction: leg.leg_direction,
            start_time: leg.start_time,
            answer_time: leg.answer_time,
            end_time: leg.end_time,
            hangup_cause: leg.hangup_cause.clone(),
            facts: Facts::of(leg),
        }
    }

    /// Which legs count where there are too many: the least.
    fn rank(&self, call_uuid: &str) -> (bool, bool, Timestamp, &str) {
        (self.leg_uuid != call_uuid, self.answer_time.is_none(), self.start_time, &self.leg_uuid)
    }

    /// A phone that was rung, answered and was connected to someone.
    fn answered(&self) -> Option<Timestamp> {
        let connected =
            self.facts.story.bridged.is_some() || self.bleg_uuid.is_some() || self.end_time.is_none();
        let phone = self.leg_direction == LegDirection::Outbound && !self.facts.story.loopback;
        self.answer_time.filter(|_| phone && connected)
    }

    /// The agent whose phone it is.
    fn agent(&self) -> Option<&String> {
        self.facts.agent.as_ref().filter(|_| !self.facts.story.member)
    }

    /// The agent who answered the caller whose leg it is.
    fn answered_by(&self) -> Option<&String> {
        let caller = self.facts.story.member || self.leg_direction == LegDirection::Inbound;
        self.facts.agent.as_ref().filter(|_| caller)
    }

    fn own_status(&self) -> Option<Status> {
        if self.answered().is_some() || self.facts.story.bridged.is_some() && !self.facts.story.loopback {
            return Some(Status::Answered);
        }
        self.unanswered_status()
    }

    /// Where no person took the call: by the last place it was at, else by the cause.
    fn unanswered_status(&self) -> Option<Status> {
        let story = &self.facts.story;
        match story.stop.filter(|_| self.answer_time.is_some()) {
            Some(Stop::Voicemail) => return Some(Status::Voicemail),
            Some(Stop::Service) => return Some(Status::Answered),
            _ if self.end_time.is_none() => return None,
            Some(Stop::Queue | Stop::Menu) => {
                // Whichever way the leg was set up, it is the waiting person's.
                return Some(if story.ended_by.is_some() { Status::Abandoned } else { Status::Missed });
            }
            Some(Stop::Dial) | None => {}
        }
        let cause = story.dial_cause.as_deref().or(self.hangup_cause.as_deref());
        Some(Status::of_cause(cause))
    }
}

impl Summary {
    /// Of the legs of one call, in any order, each once. `None` without a leg.
    pub fn of_call(call_uuid: &str, legs: &[CallLeg]) -> Option<Self> {
        let mut ranked: Vec<&CallLeg> = legs.iter().collect();
        ranked.sort_by_key(|leg| leg.rank(call_uuid));
        ranked.truncate(LEGS_COUNTED_MAX);
        let root = *ranked.first()?;
        ranked.sort_by_key(|leg| (leg.leg_uuid != root.leg_uuid, leg.start_time, &leg.leg_uuid));
        Some(Call { root, has_root: root.leg_uuid == call_uuid, legs: ranked }.summary())
    }

    /// Of one leg by itself: what its row tells while it does not stand for its call.
    pub fn of_leg(leg: &CallLeg) -> Self {
        let call = Call { root: leg, has_root: true, legs: vec![leg] };
        Self {
            agent: leg.agent().cloned(),
            status: leg.own_status(),
            hangup_by: leg.facts.story.ended_by.filter(|_| leg.end_time.is_some()),
            ..call.summary()
        }
    }
}

/// From when to when.
type Span = (Timestamp, Timestamp);

/// The legs of one call: the root (or who stands for it), then the others as they started.
struct Call<'a> {
    root: &'a CallLeg,
    has_root: bool,
    legs: Vec<&'a CallLeg>,
}

impl<'a> Call<'a> {
    fn summary(&self) -> Summary {
        let status = self.status();
        let waited = self.waited(status);
        Summary {
            direction: self
                .legs
                .iter()
                .map(|leg| leg.facts.direction)
                .find(|it| *it != Direction::Internal)
                .unwrap_or(Direction::Internal),
            queue: self.legs.iter().find_map(|leg| leg.facts.queue.clone()),
            agent: self.agent(),
            status,
            wait_seconds: waited.map(|(from, to)| seconds_between(from, to)),
            talk_seconds: self.talk(waited).filter(|_| status == Some(Status::Answered)),
            hangup_by: self.end().and_then(|end| self.hangup_by(end)),
        }
    }

    /// The phones that answered. The root is one only where it is all there is: a call that the platform made.
    fn persons(&self) -> impl Iterator<Item = (&'a CallLeg, Timestamp)> {
        let alone = self.legs.len() == 1 || !self.has_root;
        let root = &self.root.leg_uuid;
        let others = self.legs.iter().filter(move |leg| alone || leg.leg_uuid != *root);
        others.filter_map(|leg| leg.answered().map(|at| (*leg, at)))
    }

    /// Since when the root talked to a leg that is not here (yet): else that leg tells.
    fn talked_to_absent(&self) -> Option<Timestamp> {
        let here = |uuid: &str| self.legs.iter().any(|leg| leg.leg_uuid == uuid);
        let story = &self.root.facts.story;
        let absent = self.root.bleg_uuid.as_deref().is_none_or(|uuid| !here(uuid));
        story.bridged.filter(|_| absent && !story.loopback && self.root.answered().is_none())
    }

    fn status(&self) -> Option<Status> {
        if self.persons().next().is_some() || self.talked_to_absent().is_some() {
            return Some(Status::Answered);
        }
        // A mailbox may have been reached through a loopback channel, whose far half it is.
        let taken = |leg: &&CallLeg| {
            leg.unanswered_status()
                .filter(|it| matches!(it, Status::Voicemail | Status::Answered) && leg.answer_time.is_some())
        };
        self.legs.iter().find_map(taken).or_else(|| self.root.unanswered_status())
    }

    fn agent(&self) -> Option<String> {
        let agents = self.persons().filter_map(|(leg, at)| Some((at, &leg.leg_uuid, leg.agent()?)));
        let last = agents.max().map(|(.., agent)| agent);
        last.or_else(|| self.legs.iter().find_map(|leg| leg.answered_by())).cloned()
    }

    /// From when to when the caller waited.
    fn waited(&self, status: Option<Status>) -> Option<Span> {
        let root = self.root;
        let answers = || self.persons().map(|(_, at)| at).chain(self.talked_to_absent());
        let stories = || self.legs.iter().map(|leg| &leg.facts.story);
        if let Some(joined) = stories().filter_map(|story| story.queue_joined).min() {
            // Whoever answered before, he did not answer the queue.
            let after = |at: &Timestamp| joined.duration_since(*at).as_millis() <= i128::from(TOGETHER_MS);
            let agents = self.persons().filter(|(leg, _)| leg.agent().is_some()).map(|(_, at)| at);
            // The waiting person's own phone does not answer him.
            let others = self.persons().filter(|(leg, _)| !leg.facts.story.member).map(|(_, at)| at);
            let others = others.chain(self.talked_to_absent());
            let left = agents
                .filter(after)
                .min()
                .or_else(|| stories().filter_map(|story| story.queue_answered).find(after))
                .or_else(|| stories().filter_map(|story| story.queue_left).find(after))
                .or_else(|| others.filter(after).min());
            // A leg of an agent who did not answer says nothing of the caller's end.
            let given_up = || root.end_time.filter(|_| root.leg_direction == LegDirection::Inbound);
            return Some((joined, left.or_else(given_up)?.max(joined)));
        }
        let start = root.start_time;
        if let Some(answer) = answers().min() {
            return Some((start, answer.max(start)));
        }
        let rang = root.facts.story.stop == Some(Stop::Dial) || root.leg_direction == LegDirection::Outbound;
        let given_up = matches!(status, Some(Status::Missed | Status::Busy | Status::Rejected));
        root.end_time.filter(|_| rang && given_up).map(|end| (start, end))
    }

    /// How long someone talked, the waiting of a caller who was sent on to a queue left out. `None` while someone still talks.
    fn talk(&self, waited: Option<Span>) -> Option<i32> {
        let mut spans: Vec<Span> = Vec::new();
        for (leg, answer) in self.persons() {
            spans.push((answer, leg.end_time?));
        }
        if let Some(bridged) = self.talked_to_absent() {
            spans.push((bridged, self.root.end_time?));
        }
        if spans.is_empty() {
            spans.push((self.root.answer_time?, self.root.end_time?));
        }
        spans.sort_unstable();
        let (mut total, mut until) = (0, Timestamp::MIN);
        for (from, to) in spans {
            let from = from.max(until);
            let waiting = waited.map_or(0, |(since, left)| micros(from.max(since), to.min(left)));
            total += micros(from, to) - waiting;
            until = until.max(to);
        }
        Some(whole_seconds(total))
    }

    /// When the last leg ended; `None` while one goes on.
    fn end(&self) -> Option<Timestamp> {
        self.legs.iter().map(|leg| leg.end_time).collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    fn hangup_by(&self, end: Timestamp) -> Option<HangupBy> {
        let last = |at: Timestamp| end.duration_since(at).as_millis() <= i128::from(TOGETHER_MS);
        let ended = self.legs.iter().filter(|leg| leg.end_time.is_some_and(last));
        let mut by = ended.filter_map(|leg| leg.facts.story.ended_by);
        // The caller's own word first.
        if let Some(by) = by.clone().find(|by| *by == HangupBy::Caller).or_else(|| by.next()) {
            return Some(by);
        }
        // The leg that was hung up may not have come: a caller whose bridge ended was left by the other side.
        let cleared = self.root.hangup_cause.as_deref() == Some("NORMAL_CLEARING");
        if cleared && self.talked_to_absent().is_some() {
            return Some(HangupBy::Callee);
        }
        self.has_root.then_some(HangupBy::System)
    }
}

/// The whole seconds between the two times: what is left of the last one is cut, so that a time's parts never make more than
/// the whole. 0 where the second is the earlier one.
pub fn seconds_between(from: Timestamp, to: Timestamp) -> i32 {
    whole_seconds(micros(from, to))
}

fn micros(from: Timestamp, to: Timestamp) -> i64 {
    to.as_microsecond().saturating_sub(from.as_microsecond()).max(0)
}

fn whole_seconds(micros: i64) -> i32 {
    i32::try_from(micros / 1_000_000).unwrap_or(i32::MAX)
}
