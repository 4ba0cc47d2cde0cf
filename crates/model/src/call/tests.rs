//! Every captured call, and the shapes the captures lack, against what a reader of the documents would write down by hand.

mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::assembly::place;
use crate::{Leg, cdr};
use written::{CALLS, Written};

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

impl Written {
    fn legs(&self) -> Vec<Leg> {
        let parse = |body: &[u8]| cdr::parse(body, None).unwrap();
        let read = |file: &&str| {
            let capture = fixtures().join("wire/freeswitch/cdr").join(file);
            if let Ok(body) = std::fs::read(capture) {
                return vec![parse(&body)];
            }
            let call = std::fs::read(fixtures().join(format!("calls/{file}.json"))).unwrap();
            let documents: Vec<serde_json::Value> = serde_json::from_slice(&call).unwrap();
            documents.iter().map(|document| parse(document.to_string().as_bytes())).collect()
        };
        self.files.iter().flat_map(read).collect()
    }

    fn check(&self, legs: &[Leg]) {
        let name = self.files[0];
        let (placed, _) = place(legs, &[]);
        let calls: BTreeSet<String> = placed.into_iter().map(|it| it.call_uuid).collect();
        assert_eq!(calls, BTreeSet::from([self.call.to_owned()]), "{name}: one call");
        let parts: Vec<CallLeg> = legs.iter().map(CallLeg::of).collect();
        let summary = Summary::of_call(self.call, &parts).unwrap();
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let expected = Summary {
            direction: self.direction,
            queue: some(self.queue[0]),
            agent: some(self.queue[1]),
            status: Status::from_name(self.status),
            wait_seconds: self.wait,
            talk_seconds: self.talk,
            hangup_by: HangupBy::from_name(self.hangup_by),
        };
        assert_eq!(summary, expected, "{name}");
        assert_eq!(told(legs, &summary), self.timeline, "{name}");
    }
}

fn told(legs: &[Leg], summary: &Summary) -> Vec<String> {
    let legs: Vec<TimelineLeg> = legs.iter().map(timeline_leg).collect();
    let word = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned()).replace(' ', "_");
    let line = |moment: Moment| {
        let time = moment.time.strftime("%H:%M:%S.%6f");
        let event = serde_json::to_value(moment.event).unwrap();
        let leg: String = moment.leg_uuid.chars().take(8).collect();
        format!("{time} {} {} {} {leg}", event.as_str().unwrap(), word(moment.who), word(moment.detail))
    };
    timeline(&legs, summary.hangup_by).into_iter().map(line).collect()
}

fn timeline_leg(leg: &Leg) -> TimelineLeg<'_> {
    TimelineLeg { leg_uuid: &leg.leg_uuid, events: &leg.story.events }
}

#[test]
fn every_call_is_as_it_is_written() {
    for call in CALLS {
        call.check(&call.legs());
    }
}

#[test]
fn no_capture_and_no_shape_is_left_out() {
    let written: BTreeSet<&str> = CALLS.iter().flat_map(|call| call.files).copied().collect();
    let names = |folder: &str| {
        let files = std::fs::read_dir(fixtures().join(folder)).unwrap();
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    let captures = names("wire/freeswitch/cdr");
    let shapes = names("calls");
    let shapes = shapes.iter().filter_map(|name| name.strip_suffix(".json"));
    let there: BTreeSet<&str> = captures.iter().map(String::as_str).chain(shapes).collect();
    assert_eq!(written, there);
}

#[test]
fn nobody_waits_and_talks_longer_than_the_call_took() {
    for call in CALLS {
        let legs = call.legs();
        let start = legs.iter().map(|leg| leg.start_time).min().unwrap();
        let end = legs.iter().filter_map(|leg| leg.end_time).max().unwrap();
        let parts = call.wait.unwrap_or(0) + call.talk.unwrap_or(0);
        assert!(parts <= seconds_between(start, end), "{}", call.files[0]);
    }
    let at = |micros| jiff::Timestamp::from_microsecond(micros).unwrap();
    // A direct call: 0.316 s of ringing over a border of seconds, 32.370 s in all.
    assert_eq!(seconds_between(at(1_795_341_549_900_000), at(1_795_341_550_216_000)), 0);
    assert_eq!(seconds_between(at(1_795_341_549_900_000), at(1_795_341_582_270_000)), 32);
    assert_eq!(seconds_between(at(2_000_000), at(0)), 0);
}

/// A leg by itself tells of itself: what its row says while another stands for the call.
#[test]
fn a_leg_tells_of_itself() {
    let mut seen = BTreeMap::new();
    for call in CALLS {
        for leg in call.legs() {
            let own = Summary::of_leg(&CallLeg::of(&leg));
            seen.insert(leg.leg_uuid.clone(), (own.status.map(Status::as_str), own.talk_seconds));
        }
    }
    for (leg, expected) in [
        ("7b0a98e4-0c7a-4b87-8e6f-5588649f0bed", (Some("elsewhere"), None)),
        ("fr-b2", (Some("elsewhere"), None)),
        ("191e8615-4eb5-467d-b615-2a6a11d0744a", (Some("missed"), None)),
        ("33ce415a-1976-41d7-acd4-69d600b62cca", (Some("answered"), Some(7))),
        ("f4e2d12f-7c73-4ed9-8096-92bd1b7d9af6", (Some("answered"), Some(7))),
        ("26ceb677-5334-4231-80bd-2601c333526b", (Some("abandoned"), None)),
        ("befcc3b7-81b8-42e5-8563-5e608181881c", (Some("busy"), None)),
        ("lo-lb", (Some("voicemail"), None)),
    ] {
        assert_eq!(seen[leg], expected, "{leg}");
    }
}

/// A caller's side of a queue names the agent who answered it: the agent it is not.
#[test]
fn who_was_called_and_then_queued_is_no_agent() {
    let legs: Vec<Leg> = CALLS.iter().flat_map(Written::legs).collect();
    let leg = |uuid: &str| legs.iter().find(|leg| leg.leg_uuid == uuid).unwrap();
    for (uuid, agent) in [("btq-b", None), ("btq-x", Some("1003")), ("ctc-a", None), ("ctc-x", Some("1003"))]
    {
        assert_eq!(Summary::of_leg(&CallLeg::of(leg(uuid))).agent.as_deref(), agent, "{uuid}");
    }
    // The agent's leg has not come: the call is his all the same. 1005 was queued for 10.220 s of 40.300 s.
    let root = leg("ctc-a");
    let summary = Summary::of_call("ctc-a", &[CallLeg::of(root)]).unwrap();
    assert_eq!(
        (summary.agent.as_deref(), summary.wait_seconds, summary.talk_seconds),
        (Some("1003"), Some(10), Some(30))
    );
    let lines = told(std::slice::from_ref(root), &summary);
    assert_eq!(
        lines[3..],
        [
            "09:50:02.540000 queued - Support_L1 ctc-a",
            "09:50:12.760000 answered 1003 - ctc-a",
            "09:50:42.800000 hung_up 1005 NORMAL_CLEARING ctc-a"
        ]
    );
}

/// `&voicemail(tandem default.local 1002)` without quotes around it: FreeSWITCH takes the first word alone.
#[test]
fn a_mailbox_that_was_not_named_is_not_the_profile() {
    let file = std::fs::read(fixtures().join("calls/voicemail_ended_at_once.json")).unwrap();
    let mut document: serde_json::Value = serde_json::from_slice(&file).unwrap();
    for (data, mailbox) in
        [("tandem", None), ("tandem pbx.test", None), ("tandem pbx.test 1002", Some("1002"))]
    {
        document[0]["app_log"]["applications"][1]["app_data"] = data.into();
        let leg = cdr::parse(document[0].to_string().as_bytes(), None).unwrap();
        let event = leg.story.events.iter().find(|event| event.kind == EventKind::Voicemail).unwrap();
        assert_eq!(event.detail.as_deref(), mailbox, "{data}");
    }
}

#[test]
fn a_leg_s_events_and_a_call_s_moments_are_bounded() {
    let mut document: serde_json::Value = serde_json::from_slice(
        &std::fs::read(fixtures().join("wire/freeswitch/cdr/ivr_abandoned.a_leg.json")).unwrap(),
    )
    .unwrap();
    let run = |n: usize| {
        let stamp = (1_795_341_572_000_000_u64 + n as u64).to_string();
        serde_json::json!({"app_name": "ivr", "app_data": "m".repeat(999), "app_stamp": stamp})
    };
    document["app_log"]["applications"] = (0..900).map(run).collect();
    let leg = cdr::parse(document.to_string().as_bytes(), None).unwrap();
    assert_eq!(leg.story.events.len(), EVENTS_PER_LEG_MAX);
    assert_eq!(leg.story.events.last().map(|it| it.kind), Some(EventKind::HungUp));
    assert!(serde_json::to_vec(&leg.story.events).unwrap().len() < 8 * 1024);
    let many: Vec<TimelineLeg> = (0..10).map(|_| timeline_leg(&leg)).collect();
    let moments = timeline(&many, None);
    assert_eq!(
        (moments.len(), moments.last().map(|it| it.event)),
        (MOMENTS_PER_CALL_MAX, Some(EventKind::HungUp))
    );
}

#[test]
fn facts_survive_their_storage() {
    for leg in CALLS.iter().flat_map(Written::legs) {
        let facts = Facts::of(&leg);
        let stored = serde_json::to_string(&facts).unwrap();
        assert_eq!(serde_json::from_str::<Facts>(&stored).unwrap(), facts);
        let stored = serde_json::to_string(&leg.story.events).unwrap();
        assert_eq!(serde_json::from_str::<Vec<Event>>(&stored).unwrap(), leg.story.events);
    }
    // As an older program left it.
    let least: Facts = serde_json::from_str(r#"{"direction":"internal"}"#).unwrap();
    assert_eq!(least.story, Story::default());
}

proptest! {
    /// Legs arrive in any order.
    #[test]
    fn order_does_not_matter(call in 0..CALLS.len(), seed in prop::collection::vec(any::<u32>(), 4)) {
        let mut legs: Vec<(u32, Leg)> = CALLS[call].legs().into_iter().zip(seed).map(|(leg, at)| (at, leg)).collect();
        legs.sort_by_key(|(at, _)| *at);
        let legs: Vec<Leg> = legs.into_iter().map(|(_, leg)| leg).collect();
        CALLS[call].check(&legs);
    }
}
