//! What can go wrong, and what it means for the connection.

use redis::{RedisError, ServerErrorKind};

/// Why Redis did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection, no answer in time, a replica where the master was, a server that is loading or full.
    #[error("Redis is not available: {0}")]
    Unavailable(String),
    /// An answer that makes no sense to us; somebody else uses our keys.
    #[error("Redis answered what was not expected: {0}")]
    Unexpected(String),
}

impl From<RedisError> for Error {
    fn from(error: RedisError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// The group is gone, and so is the stream: FLUSHALL, or another server. UNBLOCKED is what a read hears that was
/// waiting then.
pub(crate) fn is_no_group(error: &RedisError) -> bool {
    matches!(error.code(), Some("NOGROUP" | "UNBLOCKED"))
}

/// The group was made by another worker already.
pub(crate) fn is_group_there(error: &RedisError) -> bool {
    error.code() == Some("BUSYGROUP")
}

/// Whether the connection must be given up: it broke, or it leads to a server that is not the master any more.
pub(crate) fn spoils_connection(error: &RedisError) -> bool {
    let demoted = matches!(error.kind(), redis::ErrorKind::Server(ServerErrorKind::ReadOnly));
    demoted || error.is_io_error() || error.is_timeout() || error.is_connection_dropped()
}
