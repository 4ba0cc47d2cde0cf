//! What happened on one leg, as it is stored with the leg.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::tidy;

/// Events kept of one leg: the first ones. A call that is handed around for hours has more legs, not longer ones.
pub const EVENTS_PER_LEG_MAX: usize = 32;
/// Longest name or detail of an event. With [`EVENTS_PER_LEG_MAX`] it bounds what a leg's events take.
const TEXT_MAX_CHARS: usize = 64;

/// What happened. At one instant they happened in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// `who` dialled the number in `detail`.
    Dialled,
    /// `who` (or, without one, the dialplan) sent the other side on; `detail` says how and where to.
    Transferred,
    /// The caller entered the menu in `detail`.
    Ivr,
    /// The caller entered the queue in `detail`.
    Queued,
    /// `who`'s phone was rung.
    Offered,
    /// `who` answered; a service that answers by itself is in `detail`.
    Answered,
    /// A recording began.
    Recorded,
    /// The caller entered the conference room in `detail`.
    Conference,
    /// The mailbox in `detail` took the call; without one the dialplan named none.
    Voicemail,
    /// `who` put the other side on hold, for as long as `detail` says.
    Held,
    /// `who` did not answer; `detail` is the leg's status, such as `missed` or `elsewhere`.
    Unanswered,
    /// `who` (or, without one, the platform) hung up; `detail` is the cause.
    HungUp,
}

/// One thing that happened on a leg.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When. UTC, microseconds; whole seconds where FreeSWITCH tells no more.
    #[serde(rename = "t")]
    pub time: Timestamp,
    /// What.
    #[serde(rename = "e")]
    pub kind: EventKind,
    /// The number, agent or party that did it.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// See [`EventKind`].
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The other leg it happened with: where that one is there, it tells the same better.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
}

impl Event {
    /// An event whose texts are bounded.
    pub fn new(time: Timestamp, kind: EventKind, who: Option<&str>, detail: Option<&str>) -> Self {
        Self { time, kind, who: who.and_then(bounded), detail: detail.and_then(bounded), peer: None }
    }

    pub(crate) fn with(self, peer: Option<String>) -> Self {
        Self { peer, ..self }
    }
}

fn bounded(text: &str) -> Option<String> {
    Some(tidy::text(text)?.chars().take(TEXT_MAX_CHARS).collect())
}
