//! Who, besides the two nodes, says whether one may go on alone (`failover.arbiter`): etcd's register, or a fence command.
//!
//! In: a question with a bound. Out: an answer that was given, or an error. What must never happen: a yes that nobody said.
//! Silence, a time-out and an answer not understood are errors, and the table makes no transition of them.

mod etcd;
mod fence;
mod gateway;
#[cfg(test)]
mod tests;
mod wire;

pub use etcd::Etcd;
pub use fence::fence;
pub use gateway::TOTAL as ETCD_ANSWER_MAX;

/// Fewer cannot lose one and still have a majority.
pub const ETCD_MEMBERS_MIN: usize = 3;

pub type Result<T> = std::result::Result<T, Error>;

/// Why there is no answer. None of these is a no.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("etcd does not answer ({0}); look at 'journalctl -u etcd' on its hosts")]
    Away(String),
    #[error(
        "etcd has {0} voting members: with two members either's death stops both; add a third host, or write 'arbiter: none'"
    )]
    TooFewMembers(usize),
    #[error("etcd holds something else than a register at {key}: {found}; does another program write there?")]
    Damaged { key: String, found: String },
    #[error("epoch {to} does not follow {from}")]
    Backwards { from: u64, to: u64 },
    #[error("the fence '{program}' confirmed nothing: {why}")]
    Unfenced { program: String, why: String },
}
