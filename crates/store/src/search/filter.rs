//! What to look for, as types: each condition is one constant piece of SQL and its values.

use jiff::Timestamp;

/// Conditions of one search at most.
pub const CONDITIONS_MAX: usize = 24;

/// What calls or legs to list: all that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CdrFilter {
    /// Started at this time or later.
    pub from: Option<Timestamp>,
    /// Started before this time.
    pub to: Option<Timestamp>,
    /// The domain's name, known to us or not.
    pub domain: Option<String>,
    /// The rest.
    pub conditions: Vec<Wanted>,
}

/// A condition, or its contrary. What has no value is not equal to anything, so it fulfils every contrary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What is looked at.
    pub condition: Condition,
    /// It must not hold.
    pub not: bool,
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// A text.
    Text(Column, Pattern),
    /// One of these numbers took part: it called, was dialled, or was rung as an agent.
    Extension(Vec<String>),
    /// This user took part, under one of the numbers that reach him now or as an agent of his name.
    User(String),
    /// A number; a row that has none fulfils nothing.
    Number(Number, Compare, i32),
    /// A time.
    Time(Time, Compare, Timestamp),
    /// A recording was made.
    Recorded,
}

/// A text to look at: of the row that stands for the call, or (from [`Callee`](Self::Callee) to [`Uuid`](Self::Uuid)) of any leg of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// `caller_id_number`.
    Caller,
    /// `caller_id_name`, A to Z without case.
    Name,
    /// What was dialled: `destination_number` of the row that stands for the call.
    Dialled,
    /// The queue's name, without domain.
    Queue,
    /// inbound, outbound or internal.
    Direction,
    /// What became of the call.
    Status,
    /// Who hung up.
    HangupBy,
    /// FreeSWITCH's name of the cause.
    Cause,
    /// The dialplan context.
    Context,
    /// The node whose engine carried it.
    Node,
    /// freeswitch, kamailio or media-double.
    Source,
    /// `destination_number` of any leg: who was rung.
    Callee,
    /// The agent's user name, without domain.
    Agent,
    /// The trunk's name.
    Trunk,
    /// The SIP `Call-ID`.
    SipCallId,
    /// The leg's uuid, or the call's.
    Uuid,
    /// The call's uuid.
    CallUuid,
}

/// How a text compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// Exactly this.
    Is(String),
    /// Begins with this.
    Begins(String),
    /// Ends with this.
    Ends(String),
    /// Holds this somewhere. No index serves it: a range of times bounds it.
    Holds(String),
}

/// A number to look at, of the row that stands for the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    /// ITU-T Q.850 cause.
    Q850,
    /// Seconds, as the engine counted them.
    Duration,
    /// Seconds from answer, as the engine counted them.
    Billsec,
    /// Seconds until somebody spoke with the caller.
    Wait,
    /// Seconds somebody spoke with the caller.
    Talk,
}

/// A time to look at, of the row that stands for the call. Its start is [`CdrFilter::from`] and [`CdrFilter::to`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Time {
    /// Answered.
    Answer,
    /// Ended.
    End,
}

/// How a number or a time compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// Equal.
    Is,
    /// Equal or more.
    AtLeast,
    /// Equal or less.
    AtMost,
    /// Less.
    Below,
}

impl Column {
    /// Whether any leg of the call may fulfil it.
    pub(crate) fn of_any_leg(self) -> bool {
        matches!(self, Self::Callee | Self::Agent | Self::Trunk | Self::SipCallId | Self::Uuid)
    }
}

impl Condition {
    /// Whether any leg of the call may fulfil it.
    pub(crate) fn of_any_leg(&self) -> bool {
        match self {
            Self::Text(column, _) => column.of_any_leg(),
            Self::Extension(_) | Self::User(_) | Self::Recorded => true,
            Self::Number(..) | Self::Time(..) => false,
        }
    }

    /// Whether its index has the calls in the order of what is looked for, not of their start.
    pub(crate) fn is_sorted_by_value(&self) -> bool {
        matches!(
            self,
            Self::Text(
                Column::Caller | Column::Dialled | Column::Name,
                Pattern::Begins(_) | Pattern::Ends(_)
            )
        )
    }
}
