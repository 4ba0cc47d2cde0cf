//! Captured documents of 10 to 16 KB, each round with uuids of its own: the legs of a round still name each other.

use bytes::Bytes;
use uuid::Uuid;

use crate::support::wire;

/// An answered call, a queue's call with its agent's leg, a recorded call, a menu that was abandoned.
const NAMES: [&str; 5] = [
    "internal_answered.a_leg",
    "queue_call.a_leg",
    "queue_call.agent_leg",
    "recorded_call.a_leg",
    "ivr_abandoned.a_leg",
];
const UUID_CHARS: usize = 36;

pub struct Documents {
    templates: Vec<Template>,
}

struct Template {
    body: Vec<u8>,
    uuids: Vec<(usize, Uuid)>,
}

pub struct Document {
    pub uuid: String,
    pub body: Bytes,
}

impl Documents {
    pub fn load() -> Self {
        let templates = NAMES.iter().map(|name| {
            let body = wire(&format!("cdr/{name}.json"));
            let at = |at: usize| {
                std::str::from_utf8(body.get(at..at + UUID_CHARS)?).ok()?.parse().ok().map(|uuid| (at, uuid))
            };
            let uuids = (0..body.len()).filter(|at| body[*at].is_ascii_hexdigit()).filter_map(at).collect();
            Template { body, uuids }
        });
        Self { templates: templates.collect() }
    }

    /// The same number gives the same document.
    pub fn number(&self, number: u64) -> Document {
        let count = self.templates.len() as u64;
        let template = &self.templates[(number % count) as usize];
        let round = u128::from((number / count + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut body = template.body.clone();
        for (at, uuid) in &template.uuids {
            let new = Uuid::from_u128(uuid.as_u128() ^ round);
            new.hyphenated().encode_lower(&mut body[*at..*at + UUID_CHARS]);
        }
        let leg = model::cdr::parse(&body, None).unwrap_or_else(|why| panic!("{why:?}"));
        Document { uuid: leg.leg_uuid, body: body.into() }
    }
}
