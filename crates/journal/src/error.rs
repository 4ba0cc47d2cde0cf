//! What can go wrong, and what the operator does about it.

use std::io;
use std::sync::Arc;

use uuid::Uuid;

/// Why a journal could not be opened. Nothing was changed in its directory but left-over temporary files.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "journal {location} is in use by {holder}: stop that process or give this one a directory of its own"
    )]
    Locked { location: String, holder: String },
    #[error("journal limits: {0}")]
    Limits(&'static str),
    #[error(
        "journal {location}: {file} belongs to journal {found}, the rest to {expected}: move the file that does \
         not belong here to a directory of its own"
    )]
    Foreign { location: String, file: String, found: Uuid, expected: Uuid },
    #[error(
        "journal {location}: {file} is written in format {version}, this program reads up to {supported}: start \
         the newer program, or let it drain the journal first"
    )]
    Version { location: String, file: String, version: u32, supported: u32 },
    #[error("journal {location}: cannot {doing}: {source}")]
    Io { location: String, doing: String, source: io::Error },
}

/// Why a record was not acknowledged. It may all the same be handed out later, as with any log: after a crash, or
/// when only the answer was lost.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    #[error("the record's {part} has {bytes} bytes, at most {bytes_max} are taken")]
    TooLarge { part: &'static str, bytes: usize, bytes_max: usize },
    /// Back-pressure. The journal takes records again by itself once there is room.
    #[error("the journal is full ({reason}): try again in {retry_after_s} s")]
    Full { reason: FullReason, retry_after_s: u32 },
    /// The disk failed. After a failed fsync the kernel may have dropped the pages it could not write, and the
    /// next fsync would succeed all the same (<https://wiki.postgresql.org/wiki/Fsync_Errors>): no further
    /// append can be trusted until the journal was opened, and so read back, again.
    #[error("the journal stopped taking records: {reason}: check the disk, then restart")]
    Broken { reason: Arc<str> },
    #[error("the journal is closed")]
    Closed,
}

/// Which limit refused a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FullReason {
    #[error("journal_bytes_max is reached")]
    JournalBytes,
    #[error("pending_records_max is reached")]
    PendingRecords,
    #[error("the file system is full or down to its reserve")]
    Disk,
}
