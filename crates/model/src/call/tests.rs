//! Every captured call, and the shapes the captures lack, against what a reader of the documents would write down by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::assembly::place;
use crate::{Direction, Leg, LegDirection, cdr};

/// A call as one writes it down.
struct Written {
    /// Captures, or one file of `fixtures/calls`.
    files: &'static [&'static str],
    call: &'static str,
    direction: Direction,
    /// Queue and agent, "" for none.
    queue: [&'static str; 2],
    status: &'static str,
    wait: Option<i32>,
    talk: Option<i32>,
    /// "" while unknown.
    hangup_by: &'static str,
    /// Time of day, event, who, detail ("-" for none), and the leg's first letters.
    timeline: &'static [&'static str],
}

const CALL: Written = Written {
    files: &[],
    call: "",
    direction: Direction::Internal,
    queue: ["", ""],
    status: "answered",
    wait: None,
    talk: None,
    hangup_by: "caller",
    timeline: &[],
};

const CALLS: [Written; 23] = [
    Written {
        files: &["busy.a_leg.json"],
        call: "39503e5f-2031-461c-9054-079ca6084315",
        status: "busy",
        hangup_by: "system",
        timeline: &[
            "10:04:06.586427 dialled 1005 1008 39503e5f",
            "10:04:06.586427 hung_up - USER_BUSY 39503e5f",
        ],
        ..CALL
    },
    Written {
        files: &["encode_base64.txt"],
        call: "e36a4219-ca21-4346-8205-e68721f24034",
        talk: Some(4),
        timeline: &[
            "10:00:39.051083 dialled 1001 9196 e36a4219",
            "10:00:39.070532 answered - echo e36a4219",
            "10:00:43.071083 hung_up 1001 NORMAL_CLEARING e36a4219",
        ],
        ..CALL
    },
    Written {
        files: &["encode_true.urlencoded.txt"],
        call: "4457b5f9-399a-4d7a-a2cb-307a58a7f3d4",
        talk: Some(4),
        timeline: &[
            "10:00:33.811094 dialled 1001 9196 4457b5f9",
            "10:00:33.838564 answered - echo 4457b5f9",
            "10:00:37.851069 hung_up 1001 NORMAL_CLEARING 4457b5f9",
        ],
        ..CALL
    },
    // Its root is not among the captures: who lost a race tells that the call was answered, and no more.
    Written {
        files: &["forked_lost_race.b_leg.json"],
        call: "8515b757-6836-488f-a3b7-94d3acbfa132",
        hangup_by: "",
        timeline: &[
            "09:59:43.231059 offered 1003 - 7b0a98e4",
            "09:59:43.231059 unanswered 1003 elsewhere 7b0a98e4",
        ],
        ..CALL
    },
    // An agent's leg without its caller's.
    Written {
        files: &["format_cdr.encode_true.http"],
        call: "541ce7c9-9a72-48e5-9083-87144a1b5e06",
        queue: ["Support_L1", "1002"],
        wait: Some(2),
        talk: Some(6),
        hangup_by: "",
        timeline: &[
            "10:04:38.046489 offered 1002 - 6eef869d",
            "10:04:39.046413 answered 1002 - 6eef869d",
            "10:04:45.026446 hung_up - NORMAL_CLEARING 6eef869d",
        ],
        ..CALL
    },
    Written {
        files: &["internal_answered.a_leg.json", "internal_answered.b_leg.json"],
        call: "387cb8cc-3292-4325-94d7-eab93882bea7",
        wait: Some(0),
        // FreeSWITCH's seconds of the phone that answered; it counts 4 for the caller, who was answered 20 ms later.
        talk: Some(5),
        timeline: &[
            "09:59:09.991056 dialled 1001 1002 387cb8cc",
            "09:59:09.991056 offered 1002 - 8e87c0d7",
            "09:59:09.991056 answered 1002 - 8e87c0d7",
            "09:59:14.031078 hung_up 1001 NORMAL_CLEARING 387cb8cc",
        ],
        ..CALL
    },
    Written {
        files: &["ivr_abandoned.a_leg.json"],
        call: "349475ea-06c9-4b66-b6e0-36164e430360",
        status: "abandoned",
        timeline: &[
            "09:59:32.071057 dialled 1001 5000 349475ea",
            "09:59:34.076391 ivr - demo_ivr 349475ea",
            "09:59:36.091056 hung_up 1001 NORMAL_CLEARING 349475ea",
        ],
        ..CALL
    },
    Written {
        files: &["no_answer.a_leg.json", "no_answer.b_leg.json"],
        call: "1ddaeeef-4f8e-4d65-8330-c392af5a5aab",
        status: "missed",
        wait: Some(3),
        hangup_by: "system",
        timeline: &[
            "09:59:47.391059 dialled 1001 7005 1ddaeeef",
            "09:59:47.391059 offered 1003 - 25097a07",
            "09:59:50.011056 unanswered 1003 missed 25097a07",
            "09:59:50.011056 hung_up - NORMAL_CLEARING 1ddaeeef",
        ],
        ..CALL
    },
    Written {
        files: &["queue_abandoned.a_leg.json", "queue_agent_no_answer.json"],
        call: "26ceb677-5334-4231-80bd-2601c333526b",
        queue: ["Support_L1", ""],
        status: "abandoned",
        wait: Some(6),
        timeline: &[
            "10:02:38.206402 dialled 1005 8001 26ceb677",
            "10:02:38.222897 queued - Support_L1 26ceb677",
            "10:02:38.246404 offered 1002 - 191e8615",
            "10:02:44.006400 unanswered 1002 missed 191e8615",
            "10:02:44.226398 hung_up 1005 NORMAL_CLEARING 26ceb677",
        ],
        ..CALL
    },
    Written {
        files: &["queue_call.a_leg.json", "queue_call.agent_leg.json"],
        call: "f4e2d12f-7c73-4ed9-8096-92bd1b7d9af6",
        queue: ["Support_L1", "1002"],
        wait: Some(1),
        talk: Some(8),
        timeline: &[
            "10:02:20.831055 dialled 1001 7010 f4e2d12f",
            "10:02:20.854271 recorded - - f4e2d12f",
            "10:02:20.866003 queued - Support_L1 f4e2d12f",
            "10:02:20.951064 offered 1002 - 33ce415a",
            "10:02:20.951064 answered 1002 - 33ce415a",
            "10:02:28.871058 hung_up 1001 NORMAL_CLEARING f4e2d12f",
        ],
        ..CALL
    },
    // The phone's leg is not among the captures: the caller's tells who answered.
    Written {
        files: &["recorded_call.a_leg.json"],
        call: "1b12750e-3862-47fe-846f-3e56bbf4a5b8",
        wait: Some(0),
        talk: Some(4),
        timeline: &[
            "09:59:18.371061 dialled 1001 7002 1b12750e",
            "09:59:18.388962 recorded - - 1b12750e",
            "09:59:18.411055 answered 1002 - 1b12750e",
            "09:59:22.451072 hung_up 1001 NORMAL_CLEARING 1b12750e",
        ],
        ..CALL
    },
    Written {
        files: &["spool.encode_false.cdr.json"],
        call: "7f90c027-e898-4472-8054-9ad52d680954",
        wait: Some(0),
        talk: Some(4),
        timeline: &[
            "10:01:36.571075 dialled 1001 1002 7f90c027",
            "10:01:36.591059 answered 1002 - 7f90c027",
            "10:01:40.631061 hung_up 1001 NORMAL_CLEARING 7f90c027",
        ],
        ..CALL
    },
    Written {
        files: &["spool.encode_true.cdr.json"],
        call: "ded86229-6683-4e08-b166-bf6f4513d8ec",
        talk: Some(4),
        timeline: &[
            "10:01:44.811057 dialled 1001 9196 ded86229",
            "10:01:44.817920 answered - echo ded86229",
            "10:01:48.831068 hung_up 1001 NORMAL_CLEARING ded86229",
        ],
        ..CALL
    },
    Written {
        files: &["transferred_by_dialplan.a_leg.json"],
        call: "95dce6bc-7cf2-4821-8bc5-913dfe4c8aec",
        wait: Some(0),
        talk: Some(4),
        timeline: &[
            "09:59:14.171067 dialled 1001 7001 95dce6bc",
            "09:59:14.191065 transferred - to_1002 95dce6bc",
            "09:59:14.211075 answered 1002 - 95dce6bc",
            "09:59:18.231076 hung_up 1001 NORMAL_CLEARING 95dce6bc",
        ],
        ..CALL
    },
    // 1001 talks to 1003, holds him, asks 1002, holds, and connects the two; then the platform is told to end all calls.
    Written {
        files: &["attended_transfer"],
        call: "41b495aa-4786-46cb-a6ab-d12822a8704a",
        wait: Some(0),
        talk: Some(9),
        hangup_by: "system",
        timeline: &[
            "15:12:09.390313 dialled 1001 1003 41b495aa",
            "15:12:09.390313 offered 1003 - 1937e8ee",
            "15:12:09.408955 answered 1003 - 1937e8ee",
            "15:12:09.982885 held 1001 3_s 41b495aa",
            "15:12:14.088139 dialled 1001 1002 d291b64b",
            "15:12:14.088139 offered 1002 - 25226d9e",
            "15:12:14.088139 answered 1002 - 25226d9e",
            "15:12:14.091298 held 1001 1_s 41b495aa",
            "15:12:15.688138 transferred 1001 attended_to_1002 41b495aa",
            "15:12:18.768130 hung_up - MANAGER_REQUEST 1937e8ee",
        ],
        ..CALL
    },
    // The caller of a queue sends the agent on to 1003, who is busy.
    Written {
        files: &["blind_transfer"],
        call: "55f7d839-c11a-4cb3-8a54-e64a5a52cdc5",
        queue: ["Support_L1", "1002"],
        wait: Some(0),
        talk: Some(1),
        hangup_by: "callee",
        timeline: &[
            "15:12:02.610282 dialled 1001 8001 55f7d839",
            "15:12:02.630544 queued - Support_L1 55f7d839",
            "15:12:02.670287 offered 1002 - acf21e37",
            "15:12:02.670287 answered 1002 - acf21e37",
            "15:12:03.290303 transferred 1001 blind_to_1003 55f7d839",
            "15:12:03.312343 offered 1003 - befcc3b7",
            "15:12:03.312343 unanswered 1003 busy befcc3b7",
            "15:12:03.312343 hung_up 1003 USER_BUSY acf21e37",
        ],
        ..CALL
    },
    Written {
        files: &["conference"],
        call: "ce9d6568-4645-4a7f-ab58-2d8d1165c90f",
        talk: Some(6),
        timeline: &[
            "15:11:57.013017 dialled 1001 7000 ce9d6568",
            "15:11:57.016997 conference - team ce9d6568",
            "15:12:03.033008 hung_up 1001 NORMAL_CLEARING ce9d6568",
        ],
        ..CALL
    },
    Written {
        files: &["ivr_to_phone"],
        call: "2851040e-9e5c-4c88-8f36-a1d8790f46cf",
        wait: Some(0),
        talk: Some(1),
        timeline: &[
            "15:11:51.249600 dialled 1001 9001 2851040e",
            "15:11:51.254904 ivr - Main_Menu 2851040e",
            "15:11:51.609357 transferred - to_1001 2851040e",
            "15:11:51.609357 offered 1001 - ec6d7f13",
            "15:11:51.669359 answered 1001 - ec6d7f13",
            "15:11:52.289356 hung_up 1001 NORMAL_CLEARING 2851040e",
        ],
        ..CALL
    },
    // From a trunk by a menu into a queue: one agent declines, one does not answer, the third does, and hangs up.
    Written {
        files: &["ivr_to_queue"],
        call: "ivq-a",
        direction: Direction::Inbound,
        queue: ["Support_L1", "1004"],
        wait: Some(30),
        talk: Some(60),
        hangup_by: "callee",
        timeline: &[
            "09:50:00.000000 dialled 0301234567 9001 ivq-a",
            "09:50:00.030000 ivr - Main_Menu ivq-a",
            "09:50:08.000000 transferred - to_8001 ivq-a",
            "09:50:08.020000 queued - Support_L1 ivq-a",
            "09:50:08.100000 offered 1002 - ivq-x1",
            "09:50:11.100000 unanswered 1002 rejected ivq-x1",
            "09:50:12.000000 offered 1003 - ivq-x2",
            "09:50:32.000000 unanswered 1003 missed ivq-x2",
            "09:50:33.000000 offered 1004 - ivq-x3",
            "09:50:38.200000 answered 1004 - ivq-x3",
            "09:51:38.250000 hung_up 1004 NORMAL_CLEARING ivq-x3",
        ],
        ..CALL
    },
    Written {
        files: &["loopback_voicemail"],
        call: "lo-a",
        status: "voicemail",
        timeline: &[
            "09:50:00.000000 dialled 1001 1002 lo-a",
            "09:50:00.050000 offered 1002 - lo-b",
            "09:50:20.050000 unanswered 1002 missed lo-b",
            "09:50:21.160000 voicemail - 1002 lo-lb",
            "09:50:45.000000 hung_up 1001 NORMAL_CLEARING lo-a",
        ],
        ..CALL
    },
    Written {
        files: &["queue_two_agents"],
        call: "983effd7-f3fe-4f82-af89-ffaace3e715a",
        queue: ["Support_L1", "1003"],
        wait: Some(0),
        talk: Some(1),
        timeline: &[
            "15:12:13.505475 dialled 1001 8001 983effd7",
            "15:12:13.511565 recorded - - 983effd7",
            "15:12:13.525456 queued - Support_L1 983effd7",
            "15:12:13.609197 offered 1002 - 4d5b76ad",
            "15:12:13.609197 unanswered 1002 busy 4d5b76ad",
            "15:12:13.709054 offered 1003 - daddb2db",
            "15:12:13.709054 answered 1003 - daddb2db",
            "15:12:14.348770 hung_up 1001 NORMAL_CLEARING 983effd7",
        ],
        ..CALL
    },
    Written {
        files: &["sequential_ring"],
        call: "seq-a",
        wait: Some(12),
        talk: Some(30),
        hangup_by: "callee",
        timeline: &[
            "09:50:00.000000 dialled 1001 7006 seq-a",
            "09:50:00.050000 offered 1002 - seq-b1",
            "09:50:10.050000 unanswered 1002 missed seq-b1",
            "09:50:10.100000 offered 1003 - seq-b2",
            "09:50:12.480000 answered 1003 - seq-b2",
            "09:50:42.500000 hung_up 1003 NORMAL_CLEARING seq-b2",
        ],
        ..CALL
    },
    Written {
        files: &["voicemail"],
        call: "36816932-e9fd-4496-8d93-2596a6cd898e",
        status: "voicemail",
        timeline: &[
            "15:11:50.953013 dialled 1001 7000 36816932",
            "15:11:50.976597 voicemail - 1002 36816932",
            "15:11:57.013017 hung_up 1001 NORMAL_CLEARING 36816932",
        ],
        ..CALL
    },
];

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
    let called = leg.agent.as_deref().or(leg.destination_number.as_deref());
    let party =
        if leg.leg_direction == LegDirection::Inbound { leg.caller_id_number.as_deref() } else { called };
    TimelineLeg { leg_uuid: &leg.leg_uuid, party, events: &leg.story.events }
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
        ("191e8615-4eb5-467d-b615-2a6a11d0744a", (Some("missed"), None)),
        ("33ce415a-1976-41d7-acd4-69d600b62cca", (Some("answered"), Some(8))),
        ("f4e2d12f-7c73-4ed9-8096-92bd1b7d9af6", (Some("answered"), Some(7))),
        ("26ceb677-5334-4231-80bd-2601c333526b", (Some("abandoned"), None)),
        ("befcc3b7-81b8-42e5-8563-5e608181881c", (Some("busy"), None)),
        ("lo-lb", (Some("voicemail"), None)),
    ] {
        assert_eq!(seen[leg], expected, "{leg}");
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
