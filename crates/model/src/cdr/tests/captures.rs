//! Every captured CDR, as FreeSWITCH 1.10.12 sent it, against what a reader of the document would write down by hand.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use crate::call::Story;
use crate::{Direction, Leg, LegDirection, LegSource, cdr};
use jiff::Timestamp;

fn captures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/wire/freeswitch/cdr")
}

const ZOE: &str = "Zo\u{eb} O'Neil and S\u{f6}hne";
const ZOE_PERCENT: &str = "Zo\u{eb} % A <x>";
/// The two runs of FreeSWITCH that the captures are from.
const CORE_1: &str = "c69df8d7-868c-4f64-9c7f-454ab06983d2";
const CORE_2: &str = "47c75df5-9ffb-4f2a-b934-fc5b06ea9678";

/// A leg as one writes it down: times in microseconds since the epoch.
#[derive(Clone, Copy)]
struct Written {
    file: &'static str,
    leg: &'static str,
    parent: Option<&'static str>,
    bleg: Option<&'static str>,
    leg_direction: LegDirection,
    domain: &'static str,
    caller: (&'static str, &'static str),
    dialled: &'static str,
    context: &'static str,
    start: i64,
    answer: Option<i64>,
    end: i64,
    duration: i32,
    billsec: i32,
    cause: (&'static str, i16),
    queue: Option<&'static str>,
    agent: Option<&'static str>,
    sip_call_id: Option<&'static str>,
    core: &'static str,
    session: i64,
    recorded: bool,
}

/// What most of the captures have in common.
const USUAL: Written = Written {
    file: "",
    leg: "",
    parent: None,
    bleg: None,
    leg_direction: LegDirection::Inbound,
    domain: "pbx.test",
    caller: ("1001", ZOE),
    dialled: "",
    context: "default",
    start: 0,
    answer: None,
    end: 0,
    duration: 0,
    billsec: 0,
    cause: ("NORMAL_CLEARING", 16),
    queue: None,
    agent: None,
    sip_call_id: None,
    core: CORE_1,
    session: 0,
    recorded: false,
};

const WRITTEN: [Written; 18] = [
    Written {
        file: "busy.a_leg.json",
        session: 14,
        leg: "39503e5f-2031-461c-9054-079ca6084315",
        domain: "default.local",
        caller: ("1005", ZOE_PERCENT),
        dialled: "1008",
        // Where the call came in; it was transferred to "default".
        context: "public",
        start: 1795341846586427,
        end: 1795341846586427,
        cause: ("USER_BUSY", 17),
        sip_call_id: Some("1-24087@127.0.0.1"),
        core: CORE_2,
        ..USUAL
    },
    Written {
        file: "encode_base64.txt",
        session: 34,
        leg: "e36a4219-ca21-4346-8205-e68721f24034",
        dialled: "9196",
        start: 1795341639051083,
        answer: Some(1795341639051083),
        end: 1795341643071083,
        duration: 4,
        billsec: 4,
        sip_call_id: Some("1-14808@127.0.0.1"),
        ..USUAL
    },
    // Not valid JSON: raw line breaks and bare quotes inside strings.
    Written {
        file: "encode_true.urlencoded.txt",
        session: 33,
        leg: "4457b5f9-399a-4d7a-a2cb-307a58a7f3d4",
        dialled: "9196",
        start: 1795341633811094,
        answer: Some(1795341633831076),
        end: 1795341637851069,
        duration: 4,
        billsec: 4,
        sip_call_id: Some("1-14501@127.0.0.1"),
        ..USUAL
    },
    Written {
        file: "forked_lost_race.b_leg.json",
        session: 20,
        leg: "7b0a98e4-0c7a-4b87-8e6f-5588649f0bed",
        parent: Some("8515b757-6836-488f-a3b7-94d3acbfa132"),
        leg_direction: LegDirection::Outbound,
        caller: ("1001", "Ext 1001"),
        dialled: "1003",
        start: 1795341583231059,
        end: 1795341583231059,
        cause: ("LOSE_RACE", 16),
        ..USUAL
    },
    // Twice encoded: the document, and the values in it.
    Written {
        file: "format_cdr.encode_true.http",
        session: 18,
        leg: "6eef869d-402a-4f08-b6c1-3729a141fe2e",
        parent: Some("541ce7c9-9a72-48e5-9083-87144a1b5e06"),
        bleg: Some("541ce7c9-9a72-48e5-9083-87144a1b5e06"),
        leg_direction: LegDirection::Outbound,
        domain: "default.local",
        caller: ("1005", ZOE_PERCENT),
        dialled: "1002",
        start: 1795341878046489,
        answer: Some(1795341879046413),
        end: 1795341885026446,
        duration: 7,
        billsec: 6,
        queue: Some("Support_L1"),
        agent: Some("1002"),
        sip_call_id: Some("f7c98005-60fe-1240-50bb-4648a1bff3f2"),
        core: CORE_2,
        ..USUAL
    },
    Written {
        file: "internal_answered.a_leg.json",
        session: 5,
        leg: "387cb8cc-3292-4325-94d7-eab93882bea7",
        bleg: Some("8e87c0d7-388d-44e2-b1f4-0fb2b0b50d43"),
        dialled: "1002",
        start: 1795341549991056,
        answer: Some(1795341550011063),
        end: 1795341554031078,
        duration: 5,
        billsec: 4,
        sip_call_id: Some("1-13819@127.0.0.1"),
        ..USUAL
    },
    Written {
        file: "internal_answered.b_leg.json",
        session: 6,
        leg: "8e87c0d7-388d-44e2-b1f4-0fb2b0b50d43",
        parent: Some("387cb8cc-3292-4325-94d7-eab93882bea7"),
        bleg: Some("387cb8cc-3292-4325-94d7-eab93882bea7"),
        leg_direction: LegDirection::Outbound,
        caller: ("1001", "Ext 1001"),
        dialled: "1002",
        start: 1795341549991056,
        answer: Some(1795341549991056),
        end: 1795341554031078,
        duration: 5,
        billsec: 5,
        sip_call_id: Some("344206a2-60fe-1240-e683-4648a1bff3f2"),
        ..USUAL
    },
    Written {
        file: "ivr_abandoned.a_leg.json",
        session: 14,
        leg: "349475ea-06c9-4b66-b6e0-36164e430360",
        dialled: "5000",
        start: 1795341572071057,
        answer: Some(1795341572071057),
        end: 1795341576091056,
        duration: 4,
        billsec: 4,
        sip_call_id: Some("1-13936@127.0.0.1"),
        ..USUAL
    },
    Written {
        file: "no_answer.a_leg.json",
        session: 21,
        leg: "1ddaeeef-4f8e-4d65-8330-c392af5a5aab",
        dialled: "7005",
        start: 1795341587391059,
        end: 1795341590011056,
        duration: 3,
        sip_call_id: Some("1-14067@127.0.0.1"),
        ..USUAL
    },
    Written {
        file: "no_answer.b_leg.json",
        session: 22,
        leg: "25097a07-d521-4875-a7cd-737c122fe411",
        parent: Some("1ddaeeef-4f8e-4d65-8330-c392af5a5aab"),
        leg_direction: LegDirection::Outbound,
        caller: ("1001", "Ext 1001"),
        dialled: "1003",
        start: 1795341587391059,
        end: 1795341590011056,
        duration: 3,
        cause: ("NO_ANSWER", 19),
        sip_call_id: Some("4a8d1eb1-60fe-1240-e683-4648a1bff3f2"),
        ..USUAL
    },
    Written {
        file: "queue_abandoned.a_leg.json",
        session: 1,
        leg: "26ceb677-5334-4231-80bd-2601c333526b",
        domain: "default.local",
        caller: ("1005", ZOE_PERCENT),
        dialled: "8001",
        context: "public",
        start: 1795341758206402,
        answer: Some(1795341758206402),
        end: 1795341764226398,
        duration: 6,
        billsec: 6,
        queue: Some("Support_L1"),
        sip_call_id: Some("1-20684@127.0.0.1"),
        core: CORE_2,
        ..USUAL
    },
    // No originator, no bridge: the caller's leg is named by cc_member_session_uuid alone.
    Written {
        file: "queue_agent_no_answer.json",
        session: 2,
        leg: "191e8615-4eb5-467d-b615-2a6a11d0744a",
        parent: Some("26ceb677-5334-4231-80bd-2601c333526b"),
        leg_direction: LegDirection::Outbound,
        domain: "default.local",
        caller: ("1005", ZOE_PERCENT),
        dialled: "1002",
        start: 1795341758246404,
        end: 1795341764006400,
        duration: 6,
        cause: ("ALLOTTED_TIMEOUT", 16),
        queue: Some("Support_L1"),
        agent: Some("1002"),
        core: CORE_2,
        ..USUAL
    },
    Written {
        file: "queue_call.a_leg.json",
        session: 42,
        leg: "f4e2d12f-7c73-4ed9-8096-92bd1b7d9af6",
        bleg: Some("33ce415a-1976-41d7-acd4-69d600b62cca"),
        dialled: "7010",
        start: 1795341740831055,
        answer: Some(1795341740831055),
        end: 1795341748871058,
        duration: 8,
        billsec: 8,
        queue: Some("Support_L1"),
        agent: Some("1002"),
        sip_call_id: Some("1-19591@127.0.0.1"),
        recorded: true,
        ..USUAL
    },
    Written {
        file: "queue_call.agent_leg.json",
        session: 43,
        leg: "33ce415a-1976-41d7-acd4-69d600b62cca",
        parent: Some("f4e2d12f-7c73-4ed9-8096-92bd1b7d9af6"),
        bleg: Some("f4e2d12f-7c73-4ed9-8096-92bd1b7d9af6"),
        leg_direction: LegDirection::Outbound,
        caller: ("1001", "Ext 1001"),
        dialled: "1002",
        start: 1795341740951064,
        answer: Some(1795341740951064),
        end: 1795341748871058,
        duration: 8,
        billsec: 8,
        queue: Some("Support_L1"),
        agent: Some("1002"),
        sip_call_id: Some("a61328d1-60fe-1240-e683-4648a1bff3f2"),
        ..USUAL
    },
    Written {
        file: "recorded_call.a_leg.json",
        session: 9,
        leg: "1b12750e-3862-47fe-846f-3e56bbf4a5b8",
        bleg: Some("0c85cea4-3cec-4e14-8eee-1787fb33bd37"),
        dialled: "7002",
        start: 1795341558371061,
        answer: Some(1795341558411055),
        end: 1795341562451072,
        duration: 4,
        billsec: 4,
        sip_call_id: Some("1-13842@127.0.0.1"),
        recorded: true,
        ..USUAL
    },
    Written {
        file: "spool.encode_false.cdr.json",
        session: 39,
        leg: "7f90c027-e898-4472-8054-9ad52d680954",
        bleg: Some("ec1be255-9ce7-4f20-962a-3d9684a655cd"),
        dialled: "1002",
        start: 1795341696571075,
        answer: Some(1795341696591059),
        end: 1795341700631061,
        duration: 4,
        billsec: 4,
        sip_call_id: Some("1-17306@127.0.0.1"),
        ..USUAL
    },
    Written {
        file: "spool.encode_true.cdr.json",
        session: 41,
        leg: "ded86229-6683-4e08-b166-bf6f4513d8ec",
        dialled: "9196",
        start: 1795341704811057,
        answer: Some(1795341704811057),
        end: 1795341708831068,
        duration: 4,
        billsec: 4,
        sip_call_id: Some("1-17623@127.0.0.1"),
        ..USUAL
    },
    Written {
        file: "transferred_by_dialplan.a_leg.json",
        session: 7,
        leg: "95dce6bc-7cf2-4821-8bc5-913dfe4c8aec",
        bleg: Some("ec19c390-af14-4f63-800e-d7172fada655"),
        // What the phone sent; the dialplan transferred it to 1002.
        dialled: "7001",
        start: 1795341554171067,
        answer: Some(1795341554211075),
        end: 1795341558231076,
        duration: 4,
        billsec: 4,
        sip_call_id: Some("1-13831@127.0.0.1"),
        ..USUAL
    },
];

impl Written {
    fn leg(&self) -> Leg {
        let own = |text: &str| text.to_owned();
        let time = |micros: i64| Timestamp::from_microsecond(micros).unwrap();
        Leg {
            leg_uuid: own(self.leg),
            parent_uuid: self.parent.map(own),
            bleg_uuid: self.bleg.map(own),
            source: LegSource::Freeswitch,
            provisional: false,
            vp_call: None,
            domain: Some(own(self.domain)),
            direction: Direction::Internal,
            leg_direction: self.leg_direction,
            caller_id_number: Some(own(self.caller.0)),
            caller_id_name: Some(own(self.caller.1)),
            destination_number: Some(own(self.dialled)),
            context: Some(own(self.context)),
            start_time: time(self.start),
            answer_time: self.answer.map(time),
            end_time: Some(time(self.end)),
            duration: self.duration,
            billsec: self.billsec,
            hangup_cause: Some(own(self.cause.0)),
            hangup_cause_q850: Some(self.cause.1),
            queue: self.queue.map(own),
            agent: self.agent.map(own),
            trunk: None,
            sip_call_id: self.sip_call_id.map(own),
            core_uuid: Some(own(self.core)),
            session_id: Some(self.session),
            recorded: self.recorded,
            recording: None,
            story: Story::default(),
        }
    }
}

/// The columns of the leg's row. What its story is to say is written down with the calls (`call::tests`).
fn columns(body: &[u8], uuid_hint: Option<&str>) -> Result<Leg, cdr::Rejected> {
    cdr::parse(body, uuid_hint).map(|leg| Leg { story: Story::default(), ..leg })
}

/// The leg as it is read from the capture itself, whose columns and story are tested.
fn plain(written: &Written) -> Leg {
    cdr::parse(&fs::read(captures().join(written.file)).unwrap(), None).unwrap()
}

#[test]
fn every_capture_reads_as_it_is_written() {
    for written in WRITTEN {
        let body = fs::read(captures().join(written.file)).unwrap();
        assert_eq!(columns(&body, Some("hint")).as_ref(), Ok(&written.leg()), "{}", written.file);
    }
}

#[test]
fn no_capture_is_left_out() {
    let files =
        fs::read_dir(captures()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let written: BTreeSet<String> = WRITTEN.iter().map(|written| written.file.to_owned()).collect();
    assert_eq!(files.collect::<BTreeSet<_>>(), written);
}

/// The form a proxy or a test client gives the same documents.
#[test]
fn every_json_capture_reads_the_same_in_every_encoding() {
    use base64::Engine;
    use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
    for written in WRITTEN.iter().filter(|it| it.file.ends_with(".json") && !it.file.contains("encode_true"))
    {
        let json = fs::read(captures().join(written.file)).unwrap();
        let percent = percent_encode(&json, NON_ALPHANUMERIC).to_string();
        let base64 = base64::engine::general_purpose::STANDARD.encode(&json);
        let encodings = [
            format!("cdr={percent}"),
            percent.clone(),
            format!("cdr={}", percent.replace("%20", "+")),
            format!("cdr={base64}"),
            format!("cdr={}", base64.trim_end_matches('=')),
            format!("cdr={}", percent_encode(base64.as_bytes(), NON_ALPHANUMERIC)),
            format!("\u{feff}\r\n cdr={percent}\n"),
            format!("POST /fs/cdr?uuid=x HTTP/1.1\r\nHost: x\r\n\r\ncdr={percent}"),
        ];
        for encoded in encodings {
            assert_eq!(
                cdr::parse(encoded.as_bytes(), None).as_ref(),
                Ok(&plain(written)),
                "{}",
                &encoded[..60]
            );
        }
    }
}

/// FreeSWITCH's own encoding (`switch_url_encode`): an existing `%HH` is left alone, and that is what breaks documents whose
/// values were encoded before.
fn as_freeswitch_encodes(json: &[u8]) -> String {
    let is_escape =
        |at: usize| json.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
    let mut encoded = String::new();
    for (at, &byte) in json.iter().enumerate() {
        let escaped = !byte.is_ascii_graphic() || b"#%&+:;<=>?@[\\]^`{|}\"".contains(&byte);
        if escaped && !(byte == b'%' && is_escape(at)) {
            encoded.push_str(&format!("%{byte:02X}"));
        } else {
            encoded.push(char::from(byte));
        }
    }
    encoded
}

#[test]
fn every_json_capture_survives_freeswitchs_encoding() {
    let mut broken = 0;
    for written in WRITTEN.iter().filter(|it| it.file.ends_with(".json") && !it.file.contains("encode_true"))
    {
        let json = fs::read(captures().join(written.file)).unwrap();
        let encoded = as_freeswitch_encodes(&json);
        let decoded: Vec<u8> = percent_encoding::percent_decode_str(&encoded).collect();
        broken += usize::from(serde_json::from_slice::<serde_json::Value>(&decoded).is_err());
        for body in [format!("cdr={encoded}"), encoded] {
            assert_eq!(cdr::parse(body.as_bytes(), None).as_ref(), Ok(&plain(written)), "{}", written.file);
        }
    }
    assert!(broken >= 8, "only {broken} documents were broken by it");
}
