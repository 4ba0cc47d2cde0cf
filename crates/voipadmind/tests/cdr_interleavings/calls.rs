//! Calls made of captures: uuids, Call-IDs and times are each call's own, all else is as FreeSWITCH said it. What is to be
//! seen of them was read from the captures by hand.

use uuid::Uuid;

use crate::support::random::Random;
use crate::support::wire;

/// Calls start up to so long before and after their captures did: in twenty months, most of which have no partition yet.
const DAYS_BEFORE: usize = 400;
const DAYS_AFTER: usize = 200;
const ATTEMPTS_MAX: usize = 4;
const UUID_CHARS: usize = 36;

/// One call, all its documents, and how `GET /api/cdr` is to show it.
pub struct Call {
    pub root: String,
    pub legs: Vec<Leg>,
    pub documents: Vec<Document>,
    pub status: &'static str,
    /// Waited and talked, where the captures tell.
    pub seconds: Option<[i64; 2]>,
}

impl Call {
    /// Told by Kamailio alone.
    pub fn is_direct(&self) -> bool {
        self.documents.iter().all(|document| document.source == Source::Kamailio)
    }
}

pub struct Leg {
    pub uuid: String,
    pub billsec: i64,
}

#[derive(Clone)]
pub struct Document {
    /// The leg's, or of an event's file any.
    pub uuid: String,
    pub source: Source,
    pub text: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Freeswitch,
    Kamailio,
}

/// Its file, its leg, the second in which its call began, and its `billsec`.
struct Capture {
    file: &'static str,
    leg: &'static str,
    began: i64,
    billsec: i64,
}

const fn capture(file: &'static str, leg: &'static str, began: i64, billsec: i64) -> Capture {
    Capture { file, leg, began, billsec }
}

const BUSY: Capture = capture("busy.a_leg", "39503e5f-2031-461c-9054-079ca6084315", 1_795_341_846, 0);
const MENU: Capture =
    capture("ivr_abandoned.a_leg", "349475ea-06c9-4b66-b6e0-36164e430360", 1_795_341_572, 4);
const RECORDED: Capture =
    capture("recorded_call.a_leg", "1b12750e-3862-47fe-846f-3e56bbf4a5b8", 1_795_341_558, 4);
const SENT_ON: Capture =
    capture("transferred_by_dialplan.a_leg", "95dce6bc-7cf2-4821-8bc5-913dfe4c8aec", 1_795_341_554, 4);
const CALLER: Capture =
    capture("internal_answered.a_leg", "387cb8cc-3292-4325-94d7-eab93882bea7", 1_795_341_549, 4);
const CALLEE: Capture =
    capture("internal_answered.b_leg", "8e87c0d7-388d-44e2-b1f4-0fb2b0b50d43", 1_795_341_549, 5);
const OTHER_PHONE: Capture =
    capture("forked_lost_race.b_leg", "7b0a98e4-0c7a-4b87-8e6f-5588649f0bed", 1_795_341_583, 0);
const UNANSWERED: Capture =
    capture("no_answer.a_leg", "1ddaeeef-4f8e-4d65-8330-c392af5a5aab", 1_795_341_587, 0);
const UNANSWERING: Capture =
    capture("no_answer.b_leg", "25097a07-d521-4875-a7cd-737c122fe411", 1_795_341_587, 0);
const QUEUED: Capture = capture("queue_call.a_leg", "f4e2d12f-7c73-4ed9-8096-92bd1b7d9af6", 1_795_341_740, 8);
const AGENT: Capture =
    capture("queue_call.agent_leg", "33ce415a-1976-41d7-acd4-69d600b62cca", 1_795_341_740, 8);
const GAVE_UP: Capture =
    capture("queue_abandoned.a_leg", "26ceb677-5334-4231-80bd-2601c333526b", 1_795_341_758, 6);
const ATTEMPT: Capture =
    capture("queue_agent_no_answer", "191e8615-4eb5-467d-b615-2a6a11d0744a", 1_795_341_758, 0);
/// The caller whom [`OTHER_PHONE`] names.
const FORKED: &str = "8515b757-6836-488f-a3b7-94d3acbfa132";

/// One of every kind in turn, so that few calls have all.
pub fn call(number: usize, random: &mut Random) -> Call {
    let mut it = Maker::new(random);
    match number % 11 {
        0 => it.alone(&BUSY, "busy", None),
        1 => it.alone(&MENU, "abandoned", None),
        2 => it.alone(&RECORDED, "answered", Some([0, 4])),
        3 => it.alone(&SENT_ON, "answered", Some([0, 4])),
        4 => it.bridged(),
        5 => it.forked(),
        6 => it.unanswered(),
        7 => it.queued(),
        8 => it.abandoned(),
        9 => it.attended_transfer(),
        _ => it.direct(),
    }
    it.call
}

struct Maker<'a> {
    random: &'a mut Random,
    /// What the call's uuids differ by from the captured ones: those that name each other still do.
    mask: u128,
    /// When it begins, seconds since the epoch.
    begins: i64,
    call: Call,
}

impl<'a> Maker<'a> {
    fn new(random: &'a mut Random) -> Self {
        let mask = random.uuid().as_u128();
        let seconds = random.below((DAYS_BEFORE + DAYS_AFTER) * 86_400) as i64;
        let begins = BUSY.began - DAYS_BEFORE as i64 * 86_400 + seconds;
        let call =
            Call { root: String::new(), legs: Vec::new(), documents: Vec::new(), status: "", seconds: None };
        Self { random, mask, begins, call }
    }

    fn alone(&mut self, capture: &Capture, status: &'static str, seconds: Option<[i64; 2]>) {
        self.leg(capture, &[]);
        self.shown_by(capture, status, seconds);
    }

    fn bridged(&mut self) {
        self.leg(&CALLER, &[]);
        self.leg(&CALLEE, &[]);
        if self.random.once_in(2) {
            self.passed_by_kamailio();
        }
        self.shown_by(&CALLER, "answered", Some([0, 4]));
    }

    /// Several phones rang, the others lost.
    fn forked(&mut self) {
        self.leg(&CALLER, &[]);
        self.leg(&CALLEE, &[]);
        for _ in 0..=self.random.below(ATTEMPTS_MAX) {
            let phone = self.random.uuid().to_string();
            self.leg(&OTHER_PHONE, &[(OTHER_PHONE.leg, &phone), (FORKED, CALLER.leg)]);
        }
        self.shown_by(&CALLER, "answered", Some([0, 4]));
    }

    fn unanswered(&mut self) {
        self.leg(&UNANSWERED, &[]);
        self.leg(&UNANSWERING, &[]);
        self.shown_by(&UNANSWERED, "missed", Some([2, -1]));
    }

    fn queued(&mut self) {
        self.leg(&QUEUED, &[]);
        self.leg(&AGENT, &[]);
        self.attempts(QUEUED.leg);
        self.shown_by(&QUEUED, "answered", Some([0, 7]));
    }

    fn abandoned(&mut self) {
        self.leg(&GAVE_UP, &[]);
        self.attempts(GAVE_UP.leg);
        self.shown_by(&GAVE_UP, "abandoned", Some([6, -1]));
    }

    /// Agents who did not answer: such a leg names its caller by `cc_member_session_uuid` alone.
    fn attempts(&mut self, caller: &str) {
        for _ in 0..=self.random.below(ATTEMPTS_MAX) {
            let attempt = self.random.uuid().to_string();
            self.leg(&ATTEMPT, &[(ATTEMPT.leg, &attempt), (GAVE_UP.leg, caller)]);
        }
    }

    /// The callee makes a call of its own and joins both: only its first leg knows of the second call.
    fn attended_transfer(&mut self) {
        let (asking, asked) = (self.random.uuid().to_string(), self.random.uuid().to_string());
        let joined =
            format!("\"variables\":{{\"transfer_to\":\"att%3A{asking}\",\"refer_uuid\":\"{asking}\",");
        self.leg(&CALLER, &[]);
        self.leg(&CALLEE, &[("\"variables\":{", &joined)]);
        for leg in [&CALLER, &CALLEE] {
            self.leg(leg, &[(CALLER.leg, &asking), (CALLEE.leg, &asked)]);
        }
        self.shown_by(&CALLER, "answered", None);
    }

    /// A call between two phones: FreeSWITCH knows nothing of it.
    fn direct(&mut self) {
        let call = self.random.uuid().to_string();
        let call_id = format!("{}@phone", self.random.uuid());
        let about = format!(r#""media":"0","vp_call":"{call}","start":"{}.1","callee":"1002""#, self.begins);
        let status = if self.random.once_in(3) {
            self.event("failed", &call_id, 3, &format!(r#"{about},"sip_code":"486""#));
            "busy"
        } else {
            self.event("answered", &call_id, 2, &format!(r#"{about},"sip_code":"200","to_tag":"t""#));
            self.event("ended", &call_id, 9, r#""by":"caller""#);
            "answered"
        };
        let answered = status == "answered";
        self.call.legs.push(Leg { uuid: call.clone(), billsec: if answered { 7 } else { 0 } });
        self.shown(call, status, answered.then_some([2, 7]));
    }

    /// Kamailio tells of a call that FreeSWITCH accounts for: evidence, and no leg.
    fn passed_by_kamailio(&mut self) {
        let (call_id, vp_call) = (format!("{}-13819@127.0.0.1", self.tag()), self.random.uuid());
        let about = format!(r#""media":"1","vp_call":"{vp_call}","start":"{}.1""#, self.begins);
        self.event("answered", &call_id, 1, &about);
        self.event("ended", &call_id, 5, r#""by":"caller""#);
    }

    /// `second` is counted from the call's beginning.
    fn event(&mut self, event: &str, call_id: &str, second: i64, more: &str) {
        let time = self.begins + second;
        let text = format!(
            r#"{{"event":"{event}","call_id":"{call_id}","from_tag":"f","domain":"default.local","caller":"1001","time":"{time}.5",{more}}}"#
        );
        let uuid = self.random.uuid().to_string();
        self.call.documents.push(Document { uuid, source: Source::Kamailio, text });
    }

    /// A captured leg. Each of `aliases` stands for a text of the capture.
    fn leg(&mut self, capture: &Capture, aliases: &[(&str, &str)]) {
        let text = String::from_utf8(wire(&format!("cdr/{}.json", capture.file))).unwrap();
        let aliased = |text: String, (from, to): &(&str, &str)| text.replace(from, to);
        let text = aliases.iter().fold(text, aliased);
        let text = text.replace(r#""sip_call_id":"1-"#, &format!(r#""sip_call_id":"{}-"#, self.tag()));
        let text = masked(&shifted(&text, self.begins - capture.began), self.mask);
        let own = aliases.iter().find(|(from, _)| *from == capture.leg).map_or(capture.leg, |(_, to)| *to);
        let uuid = masked(own, self.mask);
        self.call.legs.push(Leg { uuid: uuid.clone(), billsec: capture.billsec });
        self.call.documents.push(Document { uuid, source: Source::Freeswitch, text });
    }

    fn tag(&self) -> String {
        format!("{:032x}", self.mask)
    }

    fn shown(&mut self, root: String, status: &'static str, seconds: Option<[i64; 2]>) {
        (self.call.root, self.call.status, self.call.seconds) = (root, status, seconds);
    }

    fn shown_by(&mut self, root: &Capture, status: &'static str, seconds: Option<[i64; 2]>) {
        self.shown(masked(root.leg, self.mask), status, seconds);
    }
}

/// The text with other uuids.
fn masked(text: &str, mask: u128) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let mut at = 0;
    while at + UUID_CHARS <= bytes.len() {
        let uuid =
            std::str::from_utf8(&bytes[at..at + UUID_CHARS]).ok().and_then(|it| it.parse::<Uuid>().ok());
        at += match uuid {
            Some(uuid) => {
                let other = Uuid::from_u128(uuid.as_u128() ^ mask);
                other.hyphenated().encode_lower(&mut bytes[at..at + UUID_CHARS]);
                UUID_CHARS
            }
            None => 1,
        };
    }
    String::from_utf8(bytes).unwrap()
}

/// The text with its times so many seconds later: those of the captures have 10 or 16 digits and begin with 17953.
fn shifted(text: &str, seconds: i64) -> String {
    let mut out = String::with_capacity(text.len());
    for run in text.as_bytes().chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit()) {
        let run = std::str::from_utf8(run).unwrap();
        let later = |unit: i64| (run.parse::<i64>().unwrap() + seconds * unit).to_string();
        match run.len() {
            10 if run.starts_with("17953") => out.push_str(&later(1)),
            16 if run.starts_with("17953") => out.push_str(&later(1_000_000)),
            _ => out.push_str(run),
        }
    }
    out
}
