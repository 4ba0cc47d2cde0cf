//! A leg: one session of one engine, one row of `voip.cdr`. A call is the tree of legs that one root leg caused.

use jiff::Timestamp;

use crate::Recording;
use crate::call::Story;

/// Which way a *call* went, seen from the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From a trunk to one of our extensions.
    Inbound,
    /// From one of our users to a trunk.
    Outbound,
    /// Between users and services of the platform.
    Internal,
}

impl Direction {
    /// The word as it stands in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
            Self::Internal => "internal",
        }
    }

    /// The direction of that exact (lower case) name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Inbound, Self::Outbound, Self::Internal].into_iter().find(|d| d.as_str() == name)
    }
}

/// Which way a *leg* was set up, seen from the engine: FreeSWITCH's `Call-Direction`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LegDirection {
    /// Someone called the engine (an A leg).
    Inbound,
    /// The engine called someone (a B leg, an agent's leg).
    Outbound,
}

impl LegDirection {
    /// The word as it stands in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }

    /// The direction of that exact (lower case) name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Inbound, Self::Outbound].into_iter().find(|d| d.as_str() == name)
    }
}

/// Who told us of the leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LegSource {
    /// A CDR of FreeSWITCH.
    Freeswitch,
    /// Dialog events of Kamailio: a call that never touched FreeSWITCH.
    Kamailio,
    /// The test program that stands in for FreeSWITCH in dev and lab: never to be taken for it.
    #[serde(rename = "media-double")]
    MediaDouble,
}

impl LegSource {
    /// The word as it stands in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Freeswitch => "freeswitch",
            Self::Kamailio => "kamailio",
            Self::MediaDouble => "media-double",
        }
    }

    /// The source of that exact (lower case) name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Freeswitch, Self::Kamailio, Self::MediaDouble].into_iter().find(|s| s.as_str() == name)
    }
}

/// One row of `voip.cdr`. (`leg_uuid`, `start_time`) is its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    /// FreeSWITCH's session uuid (its callers choose it: it need not be an RFC 9562 UUID), or Kamailio's `X-VP-Call`.
    pub leg_uuid: String,
    /// The leg that caused this one; `None` makes this leg the root of its call.
    pub parent_uuid: Option<String>,
    /// The leg this one was (last) bridged to.
    pub bleg_uuid: Option<String>,
    /// Who told us.
    pub source: LegSource,
    /// Written before the call ended; to be replaced once by a row that is not.
    pub provisional: bool,
    /// The platform's call id (`X-VP-Call`), made by Kamailio at the initial INVITE.
    pub vp_call: Option<String>,
    /// The tenant's SIP domain, lower case. Kept as text even where no such domain exists.
    pub domain: Option<String>,
    /// The call's direction.
    pub direction: Direction,
    /// The leg's direction.
    pub leg_direction: LegDirection,
    /// As first presented to the engine, before any transfer.
    pub caller_id_number: Option<String>,
    /// As first presented to the engine, before any transfer.
    pub caller_id_name: Option<String>,
    /// What was dialled, before any transfer.
    pub destination_number: Option<String>,
    /// The dialplan context the leg entered.
    pub context: Option<String>,
    /// When the leg was made. UTC, microseconds.
    pub start_time: Timestamp,
    /// When it was answered, if it was.
    pub answer_time: Option<Timestamp>,
    /// When it was hung up; `None` while provisional.
    pub end_time: Option<Timestamp>,
    /// Seconds from start to end, the engine's integer verbatim: it can be negative when a clock was set.
    pub duration: i32,
    /// Seconds from answer to end, likewise.
    pub billsec: i32,
    /// FreeSWITCH's name of the cause, such as `NORMAL_CLEARING`.
    pub hangup_cause: Option<String>,
    /// The cause in ITU-T Q.850, such as 16.
    pub hangup_cause_q850: Option<i16>,
    /// The queue's name, without its domain.
    pub queue: Option<String>,
    /// The agent's user name, without its domain: whose leg it is, or who answered it in a queue (`Story::member`).
    pub agent: Option<String>,
    /// The trunk it came from, went to, or was meant for: the gateway's name in FreeSWITCH, else what Kamailio looked up.
    pub trunk: Option<String>,
    /// The leg's SIP `Call-ID`.
    pub sip_call_id: Option<String>,
    /// Which run of FreeSWITCH the leg belongs to (`Core-UUID`).
    pub core_uuid: Option<String>,
    /// FreeSWITCH's number of the session in that run, from 1, without a gap (`session_id`).
    pub session_id: Option<i64>,
    /// A recording was made on this leg.
    pub recorded: bool,
    /// Where it is, when the dialplan said so. `None` with `recorded` is a recording that is not the platform's.
    pub recording: Option<Recording>,
    /// What happened on it.
    pub story: Story,
}
