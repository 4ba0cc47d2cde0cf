//! What a document says of its leg beyond the columns of its row.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Event, HangupBy};
use crate::{Direction, Leg};

/// Where a caller was taken by the dialplan. The last stop of a leg says who failed to answer it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// A menu.
    Menu,
    /// A queue.
    Queue,
    /// Phones were rung.
    Dial,
    /// A mailbox takes a message.
    Voicemail,
    /// A conference room, or an application that is itself what was called (echo, a mailbox's owner at his messages).
    Service,
}

/// What a document says of its leg beyond the columns of its row. All of it is absent in a story that is not told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Story {
    /// When the caller entered his (last) queue. Where only mod_callcenter's second is known, the latest it can mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_joined: Option<Timestamp>,
    /// When an agent took the caller. A whole second where the document tells no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_answered: Option<Timestamp>,
    /// When the caller left the queue without an agent. A whole second where the document tells no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_left: Option<Timestamp>,
    /// A caller's side of a queue: the agent it names is the one who answered it, not who is at its end.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub member: bool,
    /// When the leg was first connected to another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bridged: Option<Timestamp>,
    /// The last place the dialplan took the leg to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
    /// Why the phones that were rung last did not answer: FreeSWITCH's name of the cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dial_cause: Option<String>,
    /// Which party ended the leg, by a BYE, a CANCEL or a refusal; `None` where the platform did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<HangupBy>,
    /// One half of a loopback channel: no phone is at its end.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub loopback: bool,
    /// The leg of a call of its own that an attended transfer joined to this one. It cannot tell by itself.
    #[serde(skip)]
    pub consult_uuid: Option<String>,
    /// What happened, in no order.
    #[serde(skip)]
    pub events: Vec<Event>,
}

/// What a leg itself says, kept apart from the row's columns: in the row that stands for the call those are the call's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The call's direction as far as this leg knows it.
    pub direction: Direction,
    /// The queue's name, without its domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// The agent's user name, without its domain: whose leg it is, or of a [`member`](Story::member) who answered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The rest.
    #[serde(flatten)]
    pub story: Story,
}

impl Facts {
    /// Of a leg as it was read.
    pub fn of(leg: &Leg) -> Self {
        Self {
            direction: leg.direction,
            queue: leg.queue.clone(),
            agent: leg.agent.clone(),
            story: Story {
                dial_cause: leg.story.dial_cause.clone(),
                // Columns of their own.
                events: Vec::new(),
                consult_uuid: None,
                ..leg.story
            },
        }
    }
}
