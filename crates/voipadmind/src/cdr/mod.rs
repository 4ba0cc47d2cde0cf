//! A call's record from the socket to the table.
//!
//! In: documents of FreeSWITCH (`POST /fs/cdr`), its channels that are answered ([`open`]), and events of Kamailio
//! (`POST /fs/kamailio`).
//! Out: rows of `voip.cdr`, and their answers in `GET /api/cdr`.
//! Never: an acknowledged document that is in neither the journal nor the table.
//!
//! Files that an engine could not post come in by [`sweep`].
//! [`intake`] journal, 200 → [`pump`] Redis stream → [`worker`] PostgreSQL → [`receipts`] the journal forgets.

pub mod accounting;
pub mod changes;
mod csv;
pub mod export;
pub mod filters;
pub mod http;
pub mod intake;
pub mod open;
pub mod partitions;
pub mod pump;
pub mod quarantine;
pub mod receipts;
pub mod retention;
pub mod search;
pub mod sessions;
pub mod stats;
pub mod sweep;
pub mod worker;

/// What a journal record holds; the code is stored, so it never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Freeswitch,
    Kamailio,
    /// A channel of FreeSWITCH that goes on.
    Channel,
}

impl Kind {
    pub fn code(self) -> u8 {
        match self {
            Self::Freeswitch => 1,
            Self::Kamailio => 2,
            Self::Channel => 3,
        }
    }
    pub fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Freeswitch),
            2 => Some(Self::Kamailio),
            3 => Some(Self::Channel),
            _ => None,
        }
    }
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Freeswitch, Self::Kamailio].into_iter().find(|kind| kind.as_str() == name)
    }
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Freeswitch => "freeswitch",
            Self::Kamailio => "kamailio",
            Self::Channel => "channel",
        }
    }
}
